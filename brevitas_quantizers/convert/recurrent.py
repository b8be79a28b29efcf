"""Recurrent layers: their arguments, and results whose first axis is not the batch.

A recurrent layer gives a tuple, last states along a first axis in front of the batch, and without
`batch_first` its steps likewise. What takes one of these, or turns the batch to the front, is left
as it is; while a file is written, such results are lists (`nn.states.States`), and nothing moves.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from brevitas_quantizers.nn import (
    QuantGRU,
    QuantGRUCell,
    QuantLSTM,
    QuantLSTMCell,
    QuantRNN,
    QuantRNNCell,
)

from .errors import Problems
from .kinds import CELLS, RECURRENT
from .moves import is_move, moved
from .trace import NAME
from .tracer import SHAPE

FREE = "qfx_free"
"""In `node.meta`: a call that this module has checked, whatever it does to the batch."""
_SWAPS = frozenset({"transpose", "swapaxes", "swapdims", "movedim", "moveaxis"})
_ZEROS = frozenset({"zeros", "new_zeros", "zeros_like"})
_WAY_OUT = (
    "whose batch is axis 1: take one of them, h_n[-1], or transpose(0, 1) them; with "
    "batch_first=True, output[:, -1]"
)


@dataclass(frozen=True)
class _Turned:
    """A tensor whose first axis has `count` states, or 0 for steps, and stands before the batch."""

    count: int


def spell_recurrent(traced: fx.GraphModule, problems: Problems) -> None:
    """Give each recurrent layer the operands that its twin takes, in place."""
    spelling = _Spelling(traced, problems)
    for node in list(traced.graph.nodes):
        spelling.spell(node)


class _Spelling:
    def __init__(self, traced: fx.GraphModule, problems: Problems) -> None:
        self.traced, self.problems = traced, problems
        self.kinds: dict[fx.Node, Any] = {}

    def spell(self, node: fx.Node) -> None:
        """Follow one call."""
        layer = self._layer(node)
        known = [operand for operand in node.all_input_nodes if operand in self.kinds]
        if layer is not None:
            with self.traced.graph.inserting_before(node):
                self._call(node, layer)
        elif turned := [kind for one in known if isinstance(kind := self.kinds[one], _Turned)]:
            self._from_turned(node, turned[0].count)
        elif known and node.target is operator.getitem and isinstance(node.args[1], int):
            parts = self.kinds[known[0]]
            if not -len(parts) <= node.args[1] < len(parts):
                self._refuse(node, f"has {len(parts)} results, not one number {node.args[1]}")
            elif (kind := parts[node.args[1]]) is not None:
                self.kinds[node] = kind
            node.meta[FREE] = True
        elif known:
            self._refuse(node, "must be given one of the results of a recurrent layer, not all")

    def _layer(self, node: fx.Node) -> Any:
        module = self.traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        return module if isinstance(module, RECURRENT + CELLS) else None

    def _refuse(self, node: fx.Node, why: str) -> None:
        self.problems.add(node.meta.get(NAME, node.name), why, node)

    # Calls ----------------------------------------------------------------------------------------

    def _call(self, node: fx.Node, layer: Any) -> None:
        given = dict(zip(("input", "hx"), node.args, strict=False)) | dict(node.kwargs)
        x, hx = given.get("input"), given.get("hx")
        is_lstm = isinstance(layer, (nn.LSTM, nn.LSTMCell))
        if not isinstance(x, fx.Node) or set(given) - {"input", "hx"}:
            self._refuse(node, f"{type(layer).__name__} must be called with a tensor and its state")
            return
        is_cell = isinstance(layer, CELLS)
        for reason in _problems(layer, x, is_cell, self.kinds.get(x)):
            self._refuse(node, reason)
        if not is_cell and not layer.batch_first and _swaps(x, 1):
            x.meta[FREE] = True
        state = self._state(node, hx, 2 if is_lstm else 1, is_cell)
        node.args, node.kwargs = ((x,) if state is None else (x, state)), {}
        if is_cell:
            if is_lstm:
                self.kinds[node] = (None, None)
            return
        last = _Turned(layer.num_layers * (1 + layer.bidirectional))
        output = None if layer.batch_first else _Turned(0)
        self.kinds[node] = (output, (last, last) if is_lstm else last)

    def _state(self, node: fx.Node, hx: Any, count: int, is_cell: bool) -> Any:
        """The state as the twin takes it; None where it is zero."""
        if hx is None or (isinstance(hx, fx.Node) and isinstance(self.kinds.get(hx), tuple)):
            return hx
        parts = list(hx) if isinstance(hx, (tuple, list)) else [hx]
        if len(parts) != count or not all(isinstance(part, fx.Node) for part in parts):
            self._refuse(node, "must be given its state as tensors of the network")
            return None
        zeros = [self._is_zero(part) for part in parts]
        if all(zeros):
            return None
        if any(zeros):
            self._refuse(node, "must be given both states, or none: one of them is zero")
            return None
        found = [part if is_cell else self._listed(node, part) for part in parts]
        return found[0] if count == 1 else tuple(found)

    def _listed(self, node: fx.Node, part: fx.Node) -> Any:
        """A state of all layers as a list of (batch, hidden), where the batch is in front of it."""
        if isinstance(self.kinds.get(part), _Turned):
            return part
        if part.target in ("unsqueeze", torch.unsqueeze) and _places(part) == [0]:
            return [moved(part)]
        if part.target is torch.stack and (_places(part) or [0]) == [0]:
            return list(part.args[0])  # type: ignore[arg-type] # the tensors
        if _swaps(part):
            layer, listed = self._layer(node), []
            for index in range(layer.num_layers * (1 + layer.bidirectional)):
                one = self.traced.graph.call_method("select", (moved(part), 1, index))
                one.meta = {**part.meta, NAME: f"{part.meta[NAME]}.select{index or ''}"}
                one.meta.pop(SHAPE, None)
                listed.append(one)
            return listed
        self._refuse(
            node,
            "must be given its state behind the batch: h.unsqueeze(0) of (batch, hidden), "
            "torch.stack([h, ...]), h.transpose(0, 1) of (batch, layers, hidden), or none for zero",
        )
        return part

    def _is_zero(self, node: Any) -> bool:
        """Whether nothing but zeros is in it, whatever the batch."""
        if not isinstance(node, fx.Node):
            return False
        if node.op == "get_attr":
            found: Any = self.traced
            for part in str(node.target).split("."):
                found = getattr(found, part, None)
            plain = isinstance(found, Tensor) and not isinstance(found, nn.Parameter)
            return plain and not bool(found.any())
        if _name(node) in _ZEROS:
            return True
        same = node.op == "call_method" and node.target in _SAME
        return (same or is_move(node)) and bool(node.args) and self._is_zero(node.args[0])

    # Results --------------------------------------------------------------------------------------

    def _from_turned(self, node: fx.Node, count: int) -> None:
        """What takes a tensor whose batch is axis 1, behind `count` states or 0 for steps."""
        name, places = _name(node), _places(node)
        one = count == 1 and (name == "squeeze" and places in ([0], []))
        one |= count == 1 and name in ("view", "reshape") and len(places) == 2
        if one or (name == "select" and places[:1] == [0]):
            index = 0 if one else places[1]
            node.op, node.target = "call_function", operator.getitem
            node.args, node.kwargs = (node.args[0], index), {}
        if node.target is operator.getitem:
            index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
            whole = all(isinstance(one, (int, slice)) for one in index)
            if whole and index[1:2] in ((), (slice(None),)):
                node.meta[FREE] = True
                if isinstance(index[0], slice):
                    self.kinds[node] = _Turned(0)
                return
        elif _swaps(node) or (name == "unbind" and places in ([], [0])):
            node.meta[FREE] = True
            return
        elif node.target is getattr or name in ("size", "dim"):
            return
        what = "returned" if node.op == "output" else "used"
        self._refuse(node, f"results of a recurrent layer are {what} {_WAY_OUT}")


_SAME = frozenset(
    {"to", "float", "double", "half", "cuda", "cpu", "type", "type_as", "requires_grad_"}
    | {"detach", "clone", "contiguous"}
)


def recurrent_twin(
    module: nn.Module, parameters: dict[str, Any], gate: dict[str, Any], state: dict[str, Any]
) -> nn.Module:
    """The quantized layer in place of `module`.

    Args:
        module: a float one.
        parameters: options of weights and biases.
        gate: of what a table is given, by another prefix.
        state: of activations, by another prefix.
    """
    own = {name: getattr(module, name) for name in _OPTIONS if hasattr(module, name)}
    given = {
        f"{slot}_{name.partition('_')[2]}": value
        for slot, found in (("gate", gate), ("state", state))
        for name, value in found.items()
    }
    kind = next(twin for float_kind, twin in _TWINS.items() if isinstance(module, float_kind))
    return kind(**own, **parameters, **given)


_OPTIONS = (
    *("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout"),
    *("bidirectional", "nonlinearity"),
)
_TWINS: dict[type[nn.Module], type[nn.Module]] = {
    nn.LSTM: QuantLSTM, nn.GRU: QuantGRU, nn.RNN: QuantRNN,
    nn.LSTMCell: QuantLSTMCell, nn.GRUCell: QuantGRUCell, nn.RNNCell: QuantRNNCell,
}  # fmt: skip


def _problems(layer: Any, x: fx.Node, is_cell: bool, kind: Any) -> Iterator[str]:
    who, shape = type(layer).__name__, x.meta.get(SHAPE)
    if getattr(layer, "proj_size", 0):
        yield f"{who}: proj_size must be 0, not {layer.proj_size}: put an nn.Linear behind it"
    if shape is not None and len(shape) != (2 if is_cell else 3):
        axes = "batch and features" if is_cell else "batch, steps and features"
        yield f"{who} must be given {axes}, not a tensor of {len(shape)} axes"
    if isinstance(kind, tuple):
        yield f"{who} must be given one of the results of a recurrent layer, not all"
    if is_cell or isinstance(kind, _Turned) or layer.batch_first == (not _swaps(x, 1)):
        return
    if layer.batch_first:
        yield f"{who} with batch_first=True must be given the batch first, not behind the steps"
    else:
        yield (
            f"{who} with batch_first=False takes the batch behind the steps, where no network here "
            "has it: say batch_first=True, or give it x.transpose(0, 1)"
        )


def _places(node: fx.Node) -> list[Any]:
    """Arguments but the tensor."""
    values: list[Any] = [*node.args[1:], *(v for k, v in node.kwargs.items() if k != "input")]
    return list(values[0]) if len(values) == 1 and isinstance(values[0], (tuple, list)) else values


def _swaps(node: fx.Node, place: int = 0) -> bool:
    """Whether a move brings the other of the first two axes to `place`."""
    places = [str(place) for place in _places(node)]
    if _name(node) == "permute":
        return is_move(node) and places[place : place + 1] == [str(1 - place)]
    return is_move(node) and _name(node) in _SWAPS and sorted(places) == ["0", "1"]


def _name(node: fx.Node) -> str:
    """Of a function or a method."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return str(name)
