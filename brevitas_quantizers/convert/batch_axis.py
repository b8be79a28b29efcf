"""A transpose that moves the batch away from the front, where all that is read are slices of it.

`qkv.reshape(n, s, 3, heads, -1).permute(2, 0, 3, 1, 4)` and then `q, k, v = ...`: each slice is
taken first and transposed behind, and the batch stays where it is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from .functional import same_as
from .moves import moved
from .spellings import call_method, replace

_SWAPS = frozenset({"transpose", "swapaxes", "swapdims"})


def spell_batch_moves(traced: fx.GraphModule) -> None:
    """Select before such a transpose, in place; the transpose stays, unused."""
    for node in list(traced.graph.nodes):
        dims = _order(node)
        if not dims or dims[0] == 0 or dims[1:2] != [0]:
            continue
        slices = {user: _slices(user) for user in node.users}
        if not all(slices.values()):
            continue
        for found in slices.values():
            for one, index in found:
                with traced.graph.inserting_before(one):
                    replace(traced, one, _slice(traced, one, moved(node), dims, index))


def _slice(
    traced: fx.GraphModule, like: fx.Node, x: fx.Node, dims: Sequence[int], index: int
) -> fx.Node:
    part = call_method(traced, like, "select", x, dims[0], index)
    rest = [dim - (dim > dims[0]) for dim in dims[1:]]
    return call_method(traced, like, "permute", part, rest) if rest != sorted(rest) else part


def _order(node: fx.Node) -> list[int]:
    """Where each axis of the result comes from, those at the end left out if they stay.

    Empty for calls that are no transpose, and for swaps that do not leave the batch second.
    """
    name = _name(node)
    if name not in _SWAPS | {"permute"}:
        return []
    given: list[Any] = [*node.args[1:], *(v for key, v in node.kwargs.items() if key != "input")]
    given = list(given[0]) if len(given) == 1 and isinstance(given[0], (tuple, list)) else given
    if not all(type(dim) is int for dim in given):
        return []
    if name == "permute":
        return [dim % len(given) for dim in given]
    return [1, 0] if set(given) == {0, 1} else []


def _slices(user: fx.Node) -> list[tuple[fx.Node, int]]:
    """The calls that take one slice of the first axis each, and which; empty for other calls."""
    name = _name(user)
    whole = name == "unbind" and [*user.args[1:], *user.kwargs.values(), 0][0] == 0
    if whole or same_as(user) is not None:
        found = [_slices(one) for one in user.users]
        return [one for part in found for one in part] if all(found) else []
    if user.target is operator.getitem and type(user.args[1]) is int:
        return [(user, user.args[1])]
    if name == "select" and user.args[1:2] == (0,) and type(user.args[2]) is int:
        return [(user, user.args[2])]
    return []


def _name(node: fx.Node) -> str:
    if node.op == "call_method":
        return str(node.target)
    target: Callable[..., Any] | Any = node.target
    home = getattr(torch, getattr(target, "__name__", ""), None)
    return target.__name__ if node.op == "call_function" and home is target else ""
