"""Constants among the parts of a `torch.cat`: each is added to zeros that a batch has.

    torch.cat([token.expand(x.shape[0], -1, -1), x], 1)

A class token, a map of coordinates, a row that stands for none: the zeros are cut from the padding
of a part that is a tensor of the network.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from .constants import Expression
from .moves import moved
from .trace import NAME
from .tracer import SHAPE

_JOINS = (torch.cat, torch.concat, torch.concatenate)
_REPEATS = ("expand", "expand_as", "repeat", "broadcast_to")


def spell_joined_constants(traced: fx.GraphModule, constants: dict[fx.Node, Expression]) -> None:
    """Spell, in place, each constant that is joined with tensors of the network."""
    for node in list(traced.graph.nodes):
        if node.target not in _JOINS or len(node.args) > 2 or set(node.kwargs) - {"dim", "axis"}:
            continue
        parts: Any = node.args[0] if node.args else ()
        dim: Any = [*node.args[1:], *node.kwargs.values(), 0][0]
        if not isinstance(parts, (list, tuple)) or type(dim) is not int or dim == 0:
            continue
        held = [_constant(part, constants) for part in parts]
        tensors = [part for part, own in zip(parts, held, strict=True) if own is None]
        joined = list(parts)
        with traced.graph.inserting_before(node):
            for index, own in enumerate(held):
                if own is not None and tensors:
                    sizes = tuple(constants[own].value.shape)
                    joined[index] = _repeated(traced, node, index, tensors[0], (own, sizes, dim))
        node.args, node.kwargs = (joined, dim), {}


def _constant(part: fx.Node, constants: dict[fx.Node, Expression]) -> fx.Node | None:
    """The constant that `part` is, or repeats for each sample; None for any other."""
    if part in constants:
        return part
    name = part.target if isinstance(part.target, str) else getattr(part.target, "__name__", "")
    if name not in _REPEATS or moved(part) not in constants:
        return None
    own = tuple(constants[moved(part)].value.shape)
    sizes: list[Any] = [*part.args[1:], *part.kwargs.values()]
    if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)):
        sizes = list(sizes[0])
    kept = [(1,) if name == "repeat" else (-1, size) for size in own[1:]]
    once = len(sizes) == len(own) and all(map(operator.contains, kept, sizes[1:]))
    return moved(part) if own[:1] == (1,) and (once or name == "expand_as") else None


def _repeated(
    traced: fx.GraphModule,
    node: fx.Node,
    index: int,
    like: fx.Node,
    constant: tuple[fx.Node, tuple[int, ...], int],
) -> fx.Node:
    """A constant for each sample of `like`, behind whose first element zeros are padded."""
    own, sizes, dim = constant
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
