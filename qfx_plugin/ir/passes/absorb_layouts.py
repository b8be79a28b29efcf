"""Transposes in front of a fully connected layer, as another order of its weights' columns.

Files of frameworks that keep channels last flatten images in that order. A `Linear` reads its
inputs in any order; what stays is a plain Flatten.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from ..graph import Graph
from ..ops import Linear, Op, Reshape, Transpose, View
from .edit import mapped


def absorb_layouts(graph: Graph) -> Graph:
    """The graph with `Reshape` and `Linear` in place of Transpose, Reshape, Linear, in any number.

    The views stay where somebody else reads them; see `drop_dead`.
    """
    return mapped(graph, lambda op: _absorbed(op, graph))


def _absorbed(op: Op, graph: Graph) -> tuple[Op, ...]:
    views = _views(op.inputs[0], graph) if isinstance(op, Linear) else []
    if not isinstance(op, Linear) or not any(isinstance(view, Transpose) for view in views):
        return (op,)
    source = views[0].inputs[0]
    shape = graph.types()[source].shape
    places = np.arange(prod(shape)).reshape(shape)
    for view in views:
        places = view.seen(places)
    flat = Reshape(views[-1].name, (source,), f"{op.output}:flat", (places.size,))
    codes = op.weight.codes[:, np.argsort(places, axis=None)]
    layer = replace(op, inputs=(flat.output,), weight=replace(op.weight, codes=codes))
    return flat, layer


def _views(tensor: str, graph: Graph) -> list[View]:
    """The views that lead to a tensor, in order."""
    found: list[View] = []
    while isinstance(op := graph.producer(tensor), View):
        found.append(op)
        tensor = op.inputs[0]
    return found[::-1]
