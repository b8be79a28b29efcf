"""Calls with two results, `x.max(dim)` or `x.topk(1)`, as one call for each result that is read."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

import torch
from torch import fx

from .trace import NAME

_METHODS = {"max": ("amax", "argmax"), "min": ("amin", "argmin"), "topk": ("amax", "argmax")}
_FUNCTIONS = {torch.max: "max", torch.min: "min", torch.topk: "topk"}
_PLACES = {0: 0, 1: 1, -2: 0, -1: 1, "values": 0, "indices": 1}


def separate_extremes(traced: fx.GraphModule) -> None:
    """Values and indices of `max` and `min` along a dimension, in place."""
    for node in list(traced.graph.nodes):
        methods = _methods(node)
        if methods is not None:
            _separate(traced.graph, node, methods)


def _methods(node: fx.Node) -> tuple[str, str] | None:
    """The methods that give the values and the indices of a call along one dimension."""
    target: Any = node.target
    name = str(target) if node.op == "call_method" else _FUNCTIONS.get(target, "")
    found = _METHODS.get(name) if node.op in ("call_method", "call_function") else None
    if found is not None and name == "topk":
        largest = _argument(node, 3, "largest", True)
        found = found if largest is True else _METHODS["min"]
        return found if _argument(node, 1, "k", None) == 1 and type(largest) is bool else None
    return found if found is not None and isinstance(_argument(node, 1, "dim", None), int) else None


def _argument(node: fx.Node, place: int, name: str, default: Any) -> Any:
    return node.kwargs.get(name, node.args[place] if len(node.args) > place else default)


def _replaced(pairs: dict[fx.Node, tuple[fx.Node, fx.Node]], part: Any) -> Any:
    return pairs.get(part, part) if isinstance(part, fx.Node) else part


def _separate(graph: fx.Graph, node: fx.Node, methods: tuple[str, str]) -> None:
    ranks = node.target in (torch.topk, "topk")
    arguments = (
        _argument(node, 0, "input", None),
        _argument(node, 2, "dim", -1) if ranks else _argument(node, 1, "dim", None),
        ranks or _argument(node, 2, "keepdim", False),
    )
    results = {}

    def result(place: int) -> fx.Node:
        if place not in results:
            with graph.inserting_before(node):
                results[place] = graph.call_method(methods[place], arguments)
            name = f"{node.meta[NAME]}{'_indices' if place else ''}"
            results[place].meta = {**node.meta, NAME: name}
        return results[place]

    for user in list(node.users):
        if user.op == "output":
            pairs = {node: (result(0), result(1))}
            user.args = fx.node.map_aggregate(user.args, partial(_replaced, pairs))
        elif user.target in (operator.getitem, getattr) and user.args[1] in _PLACES:
            user.replace_all_uses_with(result(_PLACES[user.args[1]]))
            graph.erase_node(user)
    if not node.users:
        graph.erase_node(node)
