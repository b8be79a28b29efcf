"""LSTM, GRU and RNN in fixed point: one step of existing layers, called once for each step.

The parameters are those of the float layers, by their names. A step's two products read them::

    LSTM   i, f, g, o = ih(x) + hh(h)      c' = cell(f * c + i * g)       h' = hidden(o * tanh(c'))
    GRU    r, z = ih(x) + hh(h)            n = tanh(ih(x) + r * candidate(hh(h)))
                                           h' = hidden(n + z * (h - n))
    RNN    h' = tanh(ih(x) + hh(h)), or relu

The state has one format: that of `cell`, `hidden` or the RNN's function, at every step. Sums are
exact; the tables of sigmoid and tanh cast what they are given. The product with the input is
computed for all steps at once. A state that is not given is zero: the first step has no product
with it. In a file the steps stand one behind the other, and share constants and quantizers.
"""

from __future__ import annotations

from typing import Any, ClassVar

import brevitas.nn as qnn
import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import DataError, OptionError
from brevitas_quantizers.injectors import QFXFixedPoint
from brevitas_quantizers.injectors.slots import check_prefixes

from .base import QuantLayer, plain
from .states import States, stacked
from .steps import GRUStep, LSTMStep, RecurrentCell, RNNStep, State, as_activation

_SLOTS = ("weight", "bias", "gate", "state")
_PREFIXES = tuple(f"{slot}_" for slot in _SLOTS)
_FLOAT_OPTIONS = frozenset(
    {"input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "dropout"}
    | {"bidirectional", "device", "dtype"}
)


class _Recurrent(QuantLayer):
    """What all of them share; mixed in before the float layer, whose parameters it keeps."""

    slots = ()
    kind: ClassVar[str]
    step: ClassVar[type[RecurrentCell]]
    hidden_size: int
    bias: Any
    nonlinearity: str

    def _begin(self, float_layer: Any, sizes: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Build the float layer, and note the options of the slots."""
        own = {name: value for name, value in keywords.items() if name in _FLOAT_OPTIONS}
        options = {name: value for name, value in keywords.items() if name not in own}
        quant = options.pop("quant", QFXFixedPoint)
        if options.pop("proj_size", 0):
            raise OptionError(
                f"{type(self).__name__}: proj_size must be 0: put a QuantLinear behind the layer"
            )
        check_prefixes(self, options, _PREFIXES)
        float_layer.__init__(self, *sizes, **own)
        QuantLayer.fill_slots(self, None, {})
        self._slots = {}
        for slot in _SLOTS:
            given = {name: v for name, v in options.items() if name.startswith(f"{slot}_")}
            if given.get(f"{slot}_quant") is None:
                given[f"{slot}_quant"] = quant
            self._slots[slot] = given

    def slots_of(self, slot: str, prefix: str = "") -> dict[str, Any]:
        """Keywords of a slot, for layers that call it `prefix`."""
        prefix = prefix or slot
        return {f"{prefix}{name.removeprefix(slot)}": v for name, v in self._slots[slot].items()}

    def table(self) -> dict[str, Any]:
        """Keywords of the table of a gate."""
        return self.slots_of("gate", "input") | self.slots_of("state", "output")

    def become_plain(self) -> None:
        """On the copy of a model that is exported: the layers inside hold the constants."""
        for step in self.children():
            if isinstance(step, RecurrentCell):
                step.hold_constants()
        self._parameters.clear()

    def state(self) -> nn.Module:
        """The cast of a state."""
        return qnn.QuantIdentity(**as_activation(self.slots_of("state")))


class _QuantRecurrent(_Recurrent):
    """All steps of all layers.

    Args:
        sizes: `input_size`, `hidden_size` and the further options of the float layer.
        keywords: those by name; `quant`, the quantizer of everything; `weight_quant`,
            `bias_quant`, `gate_quant` (what the tables of gates are given, at most 12 bits) and
            `state_quant` (gates and states) instead of it; and their options by prefix:
            `weight_bit_width=4`, `state_rounding="AP_TRN"`, ...

    Raises:
        OptionError: an unknown or impossible option.
    """

    num_layers: int
    bidirectional: bool
    batch_first: bool
    dropout: float
    _float_layer: ClassVar[type[nn.Module]]

    def __init__(self, *sizes: Any, **keywords: Any) -> None:
        self._begin(self._float_layer, sizes, keywords)
        for name, suffix in self._names():
            self.add_module(name, self.step(self, suffix))
        self.between = nn.Dropout(self.dropout)

    def _names(self) -> list[tuple[str, str]]:
        """Of each layer and direction: the name of its step, and the suffix of its parameters."""
        ways = ("", "_reverse")[: 2 if self.bidirectional else 1]
        return [(f"l{n}{way}", f"_l{n}{way}") for n in range(self.num_layers) for way in ways]

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Run over a sequence.

        Args:
            input: (batch, steps, features), or (steps, batch, features) without `batch_first`.
            hx: (layers * directions, batch, hidden), or as many (batch, hidden) in a list; of an
                LSTM two of them in a tuple; zero where it is not given.

        Returns:
            As the float layer: (batch, steps, directions * hidden) or the steps first, and the
            last states.

        Raises:
            DataError: an input of another shape, or packed sequences.
        """
        x = self.unpack_input(input) if isinstance(input, Tensor | QuantTensor) else input
        is_tensor = isinstance(x, Tensor | States)
        if not is_tensor or len(x.shape) != 3:
            kind = f"shape {tuple(x.shape)}" if is_tensor else type(x).__name__
            raise DataError(
                f"{type(self).__name__}: input must be a tensor of three axes, batch, steps and "
                f"features, not {kind}"
            )
        x = x if self.batch_first else x.transpose(0, 1)
        steps, last = self._run(x, self._given(hx))
        output = torch.stack(steps, 1) if self.batch_first else stacked(steps)
        parts = [stacked(part) for part in zip(*last, strict=True)]
        return output, (tuple(parts) if self.kind == "LSTM" else parts[0])

    def _given(self, hx: Any) -> list[State | None]:
        """The state of each layer and direction."""
        names = self._names()
        if hx is None:
            return [None] * len(names)
        parts = hx if self.kind == "LSTM" else (hx,)
        if any(len(part) != len(names) for part in parts):
            raise DataError(
                f"{type(self).__name__}: a state must have {len(names)} parts, one for each layer "
                f"and direction, not {', '.join(str(len(part)) for part in parts)}"
            )
        given = [tuple(part[index] for part in parts) for index in range(len(names))]
        pairs = zip(names, given, strict=True)
        return [self.get_submodule(name).enter(state) for (name, _), state in pairs]

    def _run(self, x: Tensor, states: list[State | None]) -> tuple[list[Tensor], list[State]]:
        """Results of each step of the last layer, and the last states of all."""
        last: list[State] = []
        ways = 2 if self.bidirectional else 1
        steps: list[Tensor] = []
        for layer in range(self.num_layers):
            if layer:
                x = self.between(torch.stack(steps, 1))
            results: list[list[Tensor]] = []
            for name, _ in self._names()[layer * ways : (layer + 1) * ways]:
                found = self._walk(self.get_submodule(name), x, states[len(last)], len(results) > 0)
                last.append(found[-1])
                hidden = [state[0] for state in found]
                results.append(hidden[::-1] if results else hidden)
            steps = [
                torch.cat(parts, -1) if ways > 1 else parts[0]
                for parts in zip(*results, strict=True)
            ]
        return steps, last

    @staticmethod
    def _walk(step: Any, x: Tensor, state: State | None, backward: bool) -> list[State]:
        """The states behind each step, in the order of computation."""
        given, found = plain(step.ih(x)), []
        indices = range(x.shape[1])
        for index in reversed(indices) if backward else indices:
            state = step(given[:, index], state)
            found.append(state)
        return found


class QuantLSTM(_QuantRecurrent, nn.LSTM):
    """`nn.LSTM` in fixed point; see `brevitas_quantizers.nn.recurrent`."""

    kind, step, _float_layer = "LSTM", LSTMStep, nn.LSTM


class QuantGRU(_QuantRecurrent, nn.GRU):
    """`nn.GRU` in fixed point; see `brevitas_quantizers.nn.recurrent`."""

    kind, step, _float_layer = "GRU", GRUStep, nn.GRU


class QuantRNN(_QuantRecurrent, nn.RNN):
    """`nn.RNN` in fixed point; see `brevitas_quantizers.nn.recurrent`."""

    kind, step, _float_layer = "RNN", RNNStep, nn.RNN


class _QuantCell(_Recurrent):
    """One step.

    Args:
        sizes: `input_size`, `hidden_size` and the further options of the float layer.
        keywords: as of `QuantLSTM`.
    """

    _float_layer: ClassVar[type[nn.Module]]

    def __init__(self, *sizes: Any, **keywords: Any) -> None:
        self._begin(self._float_layer, sizes, keywords)
        self.one = self.step(self, "")

    def forward(self, input: Any, hx: Any = None) -> Any:
        """(batch, features) and the state, (batch, hidden), or two of an LSTM, to the next one."""
        step: Any = self.one
        state: State | None = None
        if hx is not None:
            state = step.enter(tuple(hx) if self.kind == "LSTM" else (hx,))
        found = step(plain(step.ih(self.unpack_input(input))), state)
        return found if self.kind == "LSTM" else found[0]


class QuantLSTMCell(_QuantCell, nn.LSTMCell):
    """`nn.LSTMCell` in fixed point; see `brevitas_quantizers.nn.recurrent`."""

    kind, step, _float_layer = "LSTM", LSTMStep, nn.LSTMCell


class QuantGRUCell(_QuantCell, nn.GRUCell):
    """`nn.GRUCell` in fixed point; see `brevitas_quantizers.nn.recurrent`."""

    kind, step, _float_layer = "GRU", GRUStep, nn.GRUCell


class QuantRNNCell(_QuantCell, nn.RNNCell):
    """`nn.RNNCell` in fixed point; see `brevitas_quantizers.nn.recurrent`."""

    kind, step, _float_layer = "RNN", RNNStep, nn.RNNCell


class RecurrentStep(nn.Module):
    """One step of all layers of a recurrent layer as a network: what hardware repeats.

    Its inputs are those of a step, (batch, features), and the parts of the state, each (batch,
    hidden): h of the first layer, of an LSTM then its c, and so on. Its results are the parts of
    the next state. See `qfx_plugin.rtl.recurrent`.

    Args:
        layer: a `QuantLSTM`, `QuantGRU` or `QuantRNN` in one direction.
        entry: the cast in front of it.
    """

    def __init__(self, layer: nn.Module, entry: nn.Module) -> None:
        super().__init__()
        if not isinstance(layer, _QuantRecurrent) or layer.bidirectional:
            kind = type(layer).__name__
            raise OptionError(
                f"RecurrentStep: layer must be a recurrent layer in one direction, not {kind}"
            )
        self.entry, self.layer = entry, layer

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Input and state to the next state."""
        x, layer = plain(self.entry(x)), self.layer
        found: list[Tensor] = []
        for name, _ in layer._names():
            step = layer.get_submodule(name)
            count = len(step.casts())
            mine = step.enter(state[len(found) : len(found) + count])
            found += step(plain(step.ih(x)), mine)
            x = found[-count]
        return tuple(found)
