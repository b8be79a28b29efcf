"""Constants that are repeated for each sample of a batch, and joined with tensors of the network.

    torch.cat([token.expand(x.shape[0], -1, -1), x], 1)

A class token, a map of coordinates, a row of zeros: once is enough where a sum or product
broadcasts. Among the parts of a `torch.cat`, it is added to zeros that are cut from the padding of
another part.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from .arithmetic import is_number
from .constants import Expression
from .trace import NAME
from .tracer import SHAPE

_JOINS = (torch.cat, torch.concat, torch.concatenate, torch.hstack)
_REPEATS = ("expand", "repeat", "broadcast_to", "tile")
_FILLS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("zeros", "new_zeros", "zeros_like"), lambda *_, **__: 0.0),
    **dict.fromkeys(("ones", "new_ones", "ones_like"), lambda *_, **__: 1.0),
    "full": lambda size, fill_value, **_: fill_value,
    "full_like": lambda x, fill_value, **_: fill_value,
    "new_full": lambda x, size, fill_value, **_: fill_value,
}
"""By the name of what makes a tensor for a batch: the number that is everywhere in it."""


def spell_repeated_constants(traced: fx.GraphModule) -> None:
    """Make, in place, constants for one sample of those for each sample."""
    constants: set[fx.Node] = set()
    for node in traced.graph.nodes:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if node.op in ("call_function", "call_method"):
            if name in _FILLS:
                _fill(traced, node, name)
            elif name in _REPEATS and node.args and node.args[0] in constants:
                _repeat_once(node)
        operands = node.all_input_nodes
        if node.op == "get_attr" or (operands and constants.issuperset(operands)):
            constants.add(node)


def _fill(traced: fx.GraphModule, node: fx.Node, name: str) -> None:
    """What is the same number everywhere, of a batch of any size, as a tensor."""
    value: Any = None
    shape = node.meta.get(SHAPE, ())
    if shape[:1] == (None,) and None not in shape[1:]:
        value = _FILLS[name](*node.args, **node.kwargs)
    if is_number(value):
        number = sum(1 for other in vars(traced) if other.startswith("_filled"))
        setattr(traced, f"_filled{number}", torch.full((1, *shape[1:]), float(value)))
        node.op, node.target, node.args, node.kwargs = "get_attr", f"_filled{number}", (), {}
        node.meta.pop(SHAPE)


def _repeat_once(node: fx.Node) -> None:
    sizes: list[Any] = [*node.args[1:], *node.kwargs.values()]
    packed = len(sizes) == 1 and isinstance(sizes[0], (list, tuple))
    sizes = list(sizes[0]) if packed else sizes
    if isinstance(sizes[0], fx.Node) and not any(isinstance(size, fx.Node) for size in sizes[1:]):
        sizes[0] = 1
        node.args, node.kwargs = (node.args[0], *([sizes] if packed else sizes)), {}
        node.meta.pop(SHAPE, None)


def spell_joined_constants(traced: fx.GraphModule, constants: dict[fx.Node, Expression]) -> None:
    """Spell, in place, each constant that is joined with tensors of the network."""
    for node in list(traced.graph.nodes):
        given: dict[str, Any] = dict(zip(("tensors", "dim"), node.args, strict=False)) | node.kwargs
        if node.target not in _JOINS or set(given) - {"tensors", "dim", "axis"}:
            continue
        dim = given.get("dim", given.get("axis", int(node.target is torch.hstack)))
        parts: Sequence[Any] = given["tensors"]
        if not isinstance(parts, (list, tuple)) or type(dim) is not int or dim == 0:
            continue
        shapes = [constants[p].value.shape if p in constants else None for p in parts]
        tensors = [part for part in parts if part not in constants]
        if len(tensors) == len(parts) or not all(
            shape is None or shape[0] == 1 for shape in shapes
        ):
            continue
        joined = list(parts)
        with traced.graph.inserting_before(node):
            for index, shape in enumerate(shapes):
                if shape is not None and tensors:
                    place = tuple(shape), dim
                    joined[index] = _repeated(traced, node, index, tensors[0], parts[index], place)
        node.target, node.args, node.kwargs = torch.cat, (joined, dim), {}


def _repeated(
    traced: fx.GraphModule,
    node: fx.Node,
    index: int,
    like: fx.Node,
    own: fx.Node,
    place: tuple[tuple[int, ...], int],
) -> fx.Node:
    """A constant for each sample of `like`, behind whose first element zeros are padded."""
    sizes, dim = place
    behind = len(sizes) - 1 - dim if dim >= 0 else -1 - dim
    steps: list[tuple[Any, tuple[Any, ...]]] = [
        (torch.narrow, (dim, 0, 1)),
        (F.pad, ([0, 0] * behind + [0, sizes[dim]],)),
        (torch.narrow, (dim, 1, sizes[dim])),
        (operator.add, (own,)),
    ]
    found, meta = like, {name: value for name, value in node.meta.items() if name != SHAPE}
    for function, arguments in steps:
        found = traced.graph.call_function(function, (found, *arguments))
        found.meta = meta | {NAME: f"{meta[NAME]}_part{index}"}
    return found
