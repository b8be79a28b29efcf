"""Constant masks: a softmax of masked scores becomes one that has the mask itself."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from .constants import Expression, constant_expressions
from .kinds import MaskedSoftmax
from .spellings import put_layer

_FAR = -1e3
"""What is added to a score in order to hide it is below this, or minus infinity."""
_SOFTMAXES = frozenset({F.softmax, torch.softmax, "softmax"})


def hide_masked(traced: fx.GraphModule) -> set[str]:
    """Softmaxes of masked scores, in place; the buffers that held the masks."""
    constants, masks = constant_expressions(traced), set[str]()
    for node in list(traced.graph.nodes):
        dim = _softmax_dim(traced, node)
        operand = node.args[0] if node.args else node.kwargs.get("input")
        if dim is None or not isinstance(operand, fx.Node):
            continue
        keeps: list[Tensor] = []
        while (found := _masked(operand, constants)) is not None:
            operand, keep, sources = found
            keeps.append(keep)
            masks |= sources
        if keeps:
            together = keeps[0]
            for keep in keeps[1:]:
                together = together & keep
            _put(traced, node, operand, MaskedSoftmax(dim, together))
    return masks


def _put(traced: fx.GraphModule, node: fx.Node, operand: fx.Node, layer: MaskedSoftmax) -> None:
    """Replace a softmax; one that is a module called once keeps its name."""
    calls = [other for other in traced.graph.nodes if other.target == node.target]
    if node.op == "call_module" and calls == [node]:
        traced.add_submodule(str(node.target), layer)
        node.args, node.kwargs = (operand,), {}
        return
    with traced.graph.inserting_before(node):
        call = put_layer(traced, node, operand, layer)
    node.replace_all_uses_with(call)
    traced.graph.erase_node(node)


def _softmax_dim(traced: fx.GraphModule, node: fx.Node) -> int | None:
    dim: Any = None
    if node.op == "call_module":
        layer = traced.get_submodule(str(node.target))
        dim = layer.dim if isinstance(layer, nn.Softmax) else None
    elif node.target in _SOFTMAXES and node.op in ("call_function", "call_method"):
        dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    return dim if type(dim) is int else None


def _masked(
    node: fx.Node, constants: dict[fx.Node, Expression]
) -> tuple[fx.Node, Tensor, set[str]] | None:
    """The scores, where they count, and the buffers that say so."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    args: list[Any] = [*node.args, *node.kwargs.values()]
    values = [constants.get(arg, arg) if isinstance(arg, fx.Node) else arg for arg in args]
    found: tuple[Any, Any, bool] | None = None
    match name.rstrip("_"), values:
        case "masked_fill", [fx.Node() as x, Expression() as mask, far] if _is_far(far):
            found = x, mask, False
        case "where", [Expression() as mask, fx.Node() as x, far] if _is_far(far):
            found = x, mask, True
        case "where", [Expression() as mask, far, fx.Node() as x] if _is_far(far):
            found = x, mask, False
        case "add" | "iadd", [fx.Node() as x, Expression() as mask] | [
            Expression() as mask, fx.Node() as x
        ]:  # fmt: skip
            hidden = mask.value <= _FAR
            if bool(hidden.any()) and bool((hidden | (mask.value == 0)).all()):
                return x, ~hidden, set(mask.sources)
    if found is None or found[1].value.is_floating_point():
        return None
    x, mask, keeps = found
    shows = mask.value.bool()
    return x, shows if keeps else ~shows, set(mask.sources)


def _is_far(value: Any) -> bool:
    if isinstance(value, Expression) and value.value.numel() == 1:
        value = float(value.value)
    return isinstance(value, (int, float)) and value <= _FAR
