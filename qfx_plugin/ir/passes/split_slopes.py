"""PReLU that thresholds cannot follow: what is above zero, plus the slope times what is below."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..graph import Graph
from ..ops import Add, Clip, Constant, Multiply, Op, PRelu, Quantize, Relu
from ..ops.lookup import MAX_BITS
from ..types import FixedType
from .edit import mapped

THRESHOLD_BITS = 8


def split_slopes(graph: Graph) -> Graph:
    """The graph with such PReLUs as sums of parts that do not turn.

    They fall somewhere, or end in a wide cast. One of an operand with few codes stays: a table
    holds it.
    """
    types = graph.types()

    def split(op: Op) -> Iterator[Op]:
        if not isinstance(op, PRelu) or not (_falls(op) or _ends_wide(graph, op)):
            yield op
            return
        (source,) = op.inputs
        kind, result = types[source], types[op.output]
        if not (isinstance(kind, FixedType) and isinstance(result, FixedType)):
            yield op
            return
        if kind.high.max() - kind.low.min() < 1 << MAX_BITS:
            yield op
            return
        parts = ("above", "below", "slope", "scaled")
        above, below, slope, scaled = (f"{op.output}:{part}" for part in parts)
        codes = op.slope.codes.reshape(-1, *[1] * (len(kind.shape) - 1))
        yield Relu(op.name, (source,), above)
        yield Clip(op.name, (source,), below, None, 0)
        yield Constant(op.name, (), slope, replace(op.slope, codes=codes))
        yield Multiply(op.name, (below, slope), scaled)
        total = f"{op.output}:total"
        yield Add(op.name, (above, scaled), total)
        # The parts' extremes do not meet: without the proven range, what follows might not fit.
        points = int(result.frac_bits.max())
        low, high = result.aligned(np.array([points]))
        yield Clip(op.name, (total,), op.output, int(min(low)), int(max(high)), points)

    return mapped(graph, split)


def _falls(op: PRelu) -> bool:
    return bool((op.slope.codes < 0).any())


def _ends_wide(graph: Graph, op: Op) -> bool:
    """Whether some next cast is wider than thresholds are; what meets others is left alone."""
    readers = graph.consumers(op.output)
    if len(readers) != 1:
        return any(isinstance(one, Quantize) and one.width > THRESHOLD_BITS for one in readers)
    (reader,) = readers
    if isinstance(reader, Quantize):
        return reader.width > THRESHOLD_BITS
    return _ends_wide(graph, reader)
