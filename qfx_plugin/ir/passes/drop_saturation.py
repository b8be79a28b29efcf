"""Casts that provably cannot overflow: what they would do outside their range costs nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brevitas_quantizers.fixed_point import OverflowMode

from ..graph import Graph
from ..ops import Quantize
from ..types import TensorType
from .edit import with_ops


def drop_saturation(graph: Graph) -> Graph:
    """The graph with `AP_WRAP`, the mode without logic, where no code overflows; the same codes."""
    types = graph.types()
    ops = []
    for op in graph.ops:
        if isinstance(op, Quantize) and op.overflow is not OverflowMode.AP_WRAP:
            operand = types[op.inputs[0]]
            plain = replace(op, overflow=OverflowMode.AP_WRAP)
            op = plain if op.fits(operand) and _same_range(plain, op, operand) else op
        ops.append(op)
    return with_ops(graph, ops)


def _same_range(one: Quantize, other: Quantize, operand: TensorType) -> bool:
    kinds = [cast.result(operand) for cast in (one, other)]
    first, second = (np.stack([kind.low, kind.high]) for kind in kinds)
    return bool(np.array_equal(first, second))
