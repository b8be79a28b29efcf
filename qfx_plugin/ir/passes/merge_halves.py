"""Half an LSB and a cast that truncates are one cast to the nearest: `AP_RND`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brevitas_quantizers.fixed_point.modes import RoundingMode

from ..graph import Graph
from ..ops import Add, Constant, Op, Quantize
from .edit import mapped


def merge_halves(graph: Graph) -> Graph:
    """The graph with one `Quantize` in place of each such pair; it reads past the addition."""
    return mapped(graph, lambda op: (_merged(op, graph),))


def _merged(op: Op, graph: Graph) -> Op:
    if not isinstance(op, Quantize) or op.rounding is not RoundingMode.AP_TRN:
        return op
    add = graph.producer(op.inputs[0])
    found = graph.constant_operand(add) if isinstance(add, Add) else None
    if found is None or not _is_half(found[1], op):
        return op
    types = graph.types()
    if types[found[0]].shape != types[add.output].shape:
        return op
    return replace(op, inputs=(found[0],), rounding=RoundingMode.AP_RND)


def _is_half(constant: Constant, op: Quantize) -> bool:
    """Whether every element of `constant` is half an LSB of the (one) format of `op`."""
    points = set(map(int, op.points))
    if len(points) != 1:
        return False
    kind = constant.result()
    values = np.ldexp(kind.low.astype(np.float64), -kind.frac_bits)
    uniform = np.array_equal(kind.low, kind.high)
    return uniform and bool((values == 2.0 ** -(points.pop() + 1)).all())
