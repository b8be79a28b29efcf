"""Layers without bias: it becomes the addition of a constant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..graph import Graph
from ..ops import Add, Constant, Op, Weighted
from .edit import mapped


def split_biases(graph: Graph) -> Graph:
    """The graph with every bias as an addition.

    A layer's sums keep their own name plus `:sums`; the sum with the bias keeps the layer's name.
    """
    return mapped(graph, lambda op: _split(op, graph))


def _split(op: Op, graph: Graph) -> Iterator[Op]:
    if not isinstance(op, Weighted) or op.bias is None:
        yield op
        return
    sums, bias = f"{op.output}:sums", f"{op.output}:bias"
    rank = len(graph.types()[op.output].shape)
    codes = op.bias.codes.reshape(-1, *[1] * (rank - 1))
    points = np.broadcast_to(op.bias.frac_bits, (len(codes),))
    yield replace(op, bias=None, output=sums)
    yield Constant(op.name, (), bias, replace(op.bias, codes=codes, frac_bits=points))
    yield Add(op.name, (sums, bias), op.output)
