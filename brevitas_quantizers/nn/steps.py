"""One step of each kind of recurrent layer: two products, casts and tables; see `recurrent`."""

from __future__ import annotations

import warnings
from typing import Any, Protocol, TypeAlias

import brevitas.nn as qnn
import torch
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from torch import Tensor, nn

from brevitas_quantizers.injectors import DerivedConstants

from .base import plain
from .scale_shift import QuantScale
from .tables import QuantSigmoid, QuantTanh

State: TypeAlias = tuple[Tensor, ...]
"""(batch, hidden) tensors: h, and of an LSTM c."""


class Owner(Protocol):
    """The recurrent layer around steps, which holds their parameters."""

    kind: str
    hidden_size: int
    bias: Any
    nonlinearity: str

    def slots_of(self, slot: str) -> dict[str, Any]:
        """Keywords of a slot."""

    def table(self) -> dict[str, Any]:
        """Keywords of the table of a gate."""

    def state(self) -> nn.Module:
        """The cast of a state."""


class StepProduct(qnn.QuantLinear, DerivedConstants):
    """A product with parameters of the recurrent layer around it.

    Biases that are added to each other are one constant, with one format.
    """

    def __init__(self, owner: Owner, name: str, suffix: str, **slots: Any) -> None:
        object.__setattr__(self, "_source", (owner, name, suffix))  # a tuple: no child of this one
        outputs, inputs = getattr(owner, f"weight_{name}{suffix}").shape
        has_bias = owner.bias and (name == "ih" or owner.kind == "GRU")
        if not has_bias:
            slots = {name: v for name, v in slots.items() if not name.startswith("bias_")}
            slots["bias_quant"] = None
        nn.Module.__init__(self)
        self.in_features, self.out_features = inputs, outputs
        QuantWeightBiasInputOutputLayer.__init__(
            self, input_quant=None, output_quant=None, return_quant_tensor=False, **slots
        )

    def __getattr__(self, name: str) -> Any:
        if name in ("weight", "bias") and name not in self.__dict__.get("_parameters", ()):
            return self.constant(name)
        return super().__getattr__(name)

    def constant(self, slot: str) -> Tensor:
        """The weight of the layer around, or the sum of its biases."""
        owner, name, suffix = self._source
        if slot == "weight":
            return getattr(owner, f"weight_{name}{suffix}")
        bias: Any = None
        if owner.bias:
            ih, hh = (getattr(owner, f"bias_{one}{suffix}") for one in ("ih", "hh"))
            bias = ih + hh if owner.kind != "GRU" else _gru_bias(name, ih, hh)
        return bias if name == "ih" or owner.kind == "GRU" else None  # type: ignore[return-value]

    def constants(self) -> dict[str, Tensor]:
        """Weight and bias."""
        found = {"weight": self.constant("weight"), "bias": self.constant("bias")}
        return {slot: values for slot, values in found.items() if values is not None}

    def store_constants(self) -> None:
        """Nothing: what is exported is a plain layer, see `become_plain`."""

    def hold_constants(self) -> None:
        """Become a layer that holds its constants."""
        owner, _, suffix = self._source
        held = {}
        for slot, values in self.constants().items():
            trains = getattr(owner, f"{slot}_ih{suffix}").requires_grad
            held[slot] = nn.Parameter(values.detach().clone(), trains)
        self.__class__ = qnn.QuantLinear  # the same but for the above
        self._parameters |= {"weight": held["weight"], "bias": held.get("bias")}


def _gru_bias(name: str, ih: Tensor, hh: Tensor) -> Tensor:
    """The part of the new gate that the reset gate scales stays with the state's product."""
    split = ih.shape[0] // 3 * 2
    if name == "ih":
        return torch.cat([ih[:split] + hh[:split], ih[split:]])
    return torch.cat([torch.zeros_like(hh[:split]), hh[split:]])


class RecurrentCell(nn.Module):
    """One step of one layer in one direction.

    Args:
        owner: the recurrent layer, which holds the parameters.
        suffix: of their names: `"_l0_reverse"`.
    """

    def __init__(self, owner: Owner, suffix: str) -> None:
        super().__init__()
        self.size: int = owner.hidden_size
        products = owner.slots_of("weight") | owner.slots_of("bias")
        self.ih = StepProduct(owner, "ih", suffix, **products)
        self.hh = StepProduct(owner, "hh", suffix, **products)
        self.build(owner)

    def build(self, owner: Owner) -> None:
        """Add casts and tables."""
        raise NotImplementedError

    def enter(self, state: State) -> State:
        """A state that is given, in the formats of the states."""
        return tuple(cast(part) for cast, part in zip(self.casts(), state, strict=True))

    def casts(self) -> tuple[nn.Module, ...]:
        """Of the parts of the state."""
        raise NotImplementedError

    def hold_constants(self) -> None:
        """See `_Recurrent.become_plain`."""
        self.ih.hold_constants()
        self.hh.hold_constants()

    def gate(self, sums: Tensor, index: int, count: int = 1) -> Tensor:
        """Sums of `count` gates, beginning with gate `index`."""
        return sums[..., index * self.size : (index + count) * self.size]


class LSTMStep(RecurrentCell):
    def build(self, owner: Owner) -> None:
        """A table for the gates, one for what enters the cell, one for what leaves it."""
        self.sigmoid = QuantSigmoid(**owner.table())
        self.tanh, self.cell_tanh = QuantTanh(**owner.table()), QuantTanh(**owner.table())
        self.cell, self.hidden = owner.state(), owner.state()

    def casts(self) -> tuple[nn.Module, ...]:
        """h, c."""
        return self.hidden, self.cell

    def forward(self, given: Tensor, state: State | None) -> State:
        """`ih(x)` and the state to the next state."""
        sums = given if state is None else given + self.hh(state[0])
        new = self.tanh(self.gate(sums, 2))
        if state is None:
            cell = self.cell(self.sigmoid(self.gate(sums, 0)) * new)
        else:
            gates = self.sigmoid(self.gate(sums, 0, 2))
            cell = self.cell(self.gate(gates, 1) * state[1] + self.gate(gates, 0) * new)
        return self.hidden(self.sigmoid(self.gate(sums, 3)) * self.cell_tanh(cell)), cell


class GRUStep(RecurrentCell):
    def build(self, owner: Owner) -> None:
        """A table for the gates, one for the new state, and the cast of what is reset."""
        self.sigmoid, self.tanh = QuantSigmoid(**owner.table()), QuantTanh(**owner.table())
        self.candidate, self.hidden = owner.state(), owner.state()
        self.start: nn.Module | None = None

    def casts(self) -> tuple[nn.Module, ...]:
        """h."""
        return (self.hidden,)

    def forward(self, given: Tensor, state: State | None) -> State:
        """`ih(x)` and the state to the next state."""
        new = self.gate(given, 2)
        if state is None:
            gates = self.sigmoid(self.gate(given, 0, 2))
            if self.hh.bias is not None:
                new = new + self._start(self.gate(gates, 0))
            new = self.tanh(new)
            return (self.hidden(new - self.gate(gates, 1) * new),)
        sums = self.hh(state[0])
        gates = self.sigmoid(self.gate(given, 0, 2) + self.gate(sums, 0, 2))
        reset, update = self.gate(gates, 0), self.gate(gates, 1)
        new = self.tanh(new + reset * self.candidate(self.gate(sums, 2)))
        return (self.hidden(new + update * (state[0] - new)),)

    def _start(self, reset: Tensor) -> Tensor:
        """The reset gate's product where the state is zero: with a constant."""
        return self._constant() * reset if self.start is None else self.start(reset)

    def _constant(self) -> Tensor:
        bias = plain(self.hh.bias_quant(self.hh.bias))
        return plain(self.candidate(self.gate(bias, 2)))

    def hold_constants(self) -> None:
        """The constant that is reset at the start becomes that of a layer, too."""
        if self.hh.bias is not None:
            self._hold_start()
        super().hold_constants()

    def _hold_start(self) -> None:
        fmt = self.candidate.act_quant.quantizer.format
        scale = QuantScale(
            (self.size,),
            weight_bit_width=fmt.width,
            weight_integer_bits=fmt.integer_bits,
            weight_signed=fmt.signed,
            weight_learn_binary_point=False,
        )
        scale.weight.data.copy_(self._constant())
        scale.weight_quant.quantizer.settle()
        self.start = scale.eval()


class RNNStep(RecurrentCell):
    def build(self, owner: Owner) -> None:
        """The function, whose results are the state."""
        if owner.nonlinearity == "tanh":
            self.function: nn.Module = QuantTanh(**owner.table())
            proxy = self.function.output_quant
        else:
            self.function = qnn.QuantReLU(**as_activation(owner.slots_of("state")))
            proxy = self.function.act_quant
        with warnings.catch_warnings():  # Brevitas, of a shared proxy that is given an activation
            warnings.filterwarnings("ignore", "Keyword arguments are being passed")
            self.hidden = qnn.QuantIdentity(act_quant=proxy)

    def casts(self) -> tuple[nn.Module, ...]:
        """h."""
        return (self.hidden,)

    def forward(self, given: Tensor, state: State | None) -> State:
        """`ih(x)` and the state to the next state."""
        return (self.function(given if state is None else given + self.hh(state[0])),)


def as_activation(slots: dict[str, Any]) -> dict[str, Any]:
    """Keywords of a slot as those of an activation layer."""
    prefix = next(iter(slots)).partition("_")[0]
    found = {name.removeprefix(f"{prefix}_"): value for name, value in slots.items()}
    return {"act_quant": found.pop("quant"), **found}
