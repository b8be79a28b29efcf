"""Operations on single elements in front of the Flatten that they stand behind.

There they are one function per channel instead of one per element, and join what comes before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...ir import (
    Add,
    Constant,
    FixedType,
    Graph,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Reshape,
    Transpose,
    Weight,
)
from .chain import POINTWISE
from .orders import MOVERS


def hoist(graph: Graph) -> Graph:
    """The same function, with everything that does not look at places before what moves them."""
    while True:
        for op in graph.ops:
            if (found := _swapped(graph, op)) is not None:
                graph = found
                break
        else:
            return graph


def _swapped(graph: Graph, op: Op) -> Graph | None:
    """The graph with `op` before the Reshape or Transpose that it reads, if that is possible."""
    if not isinstance(op, POINTWISE):
        return None
    producers = {name: graph.producer(name) for name in op.inputs}
    sources = [name for name, one in producers.items() if not isinstance(one, Constant)]
    if len(sources) != 1 or len(op.inputs) - len(producers):
        return None
    (name,) = sources
    mover = producers[name]
    if not isinstance(mover, MOVERS) or len(graph.consumers(name)) > 1 or name in graph.outputs:
        return None
    kind, result = graph.types()[mover.inputs[0]], graph.types()[op.output]
    if not isinstance(kind, FixedType) and not isinstance(mover, Transpose):
        return None  # the host reshapes floats before it casts them
    if result.shape != graph.types()[name].shape:
        return None
    early = _on_channels(op, mover, kind.shape, producers)
    if early is None:
        return None
    first, *constants = early
    inputs = tuple(mover.inputs[0] if n == name else constants[0].output for n in op.inputs)
    first = replace(first, inputs=inputs, output=f"{op.output}:early")
    ops: list[Op] = []
    for one in graph.ops:
        if one is op:
            ops += [*constants, first, replace(mover, inputs=(first.output,), output=op.output)]
        elif one is not mover:
            ops.append(one)
    return replace(graph, ops=tuple(ops)).verify()


def _on_channels(
    op: Op, mover: Op, shape: tuple[int, ...], producers: dict[str, Op]
) -> list[Op] | None:
    """`op` on a tensor of this shape, and its constant, if there is one."""
    if isinstance(op, Quantize):
        points = _per_channel(op.points, mover, shape)
        if points is None:
            return None
        bits = tuple(map(int, points)) if points.size > 1 else int(points[0])
        return [replace(op, frac_bits=bits)]
    if isinstance(op, PRelu):
        slope = _weight(op.slope, mover, shape, rank=1)
        return None if slope is None else [replace(op, slope=slope)]
    if isinstance(op, Add | Multiply):
        (constant,) = (one for one in producers.values() if isinstance(one, Constant))
        weight = _weight(constant.weight, mover, shape, rank=len(shape))
        if weight is None:
            return None
        return [op, replace(constant, output=f"{op.output}:constant", weight=weight)]
    return [op]


def _weight(weight: Weight, mover: Op, shape: tuple[int, ...], rank: int) -> Weight | None:
    """Constants per element as constants per channel, in an array of `rank` axes."""
    codes = _per_channel(weight.codes.reshape(-1), mover, shape)
    points = _per_channel(weight.frac_bits, mover, shape)
    if codes is None or points is None:
        return None
    codes = codes.reshape(-1, *[1] * (rank - 1))
    if points.size > 1:
        codes = np.broadcast_to(codes, (points.size, *codes.shape[1:]))
    return replace(weight, codes=codes, frac_bits=points)


def _per_channel(
    values: NDArray[np.int64], mover: Op, shape: tuple[int, ...]
) -> NDArray[np.int64] | None:
    """(1,) or (channels,) of (1,) or (elements,), if all elements of a channel have the same."""
    if values.size == 1:
        return values
    if not isinstance(mover, Reshape) or len(mover.shape) != 1 or len(shape) == 1:
        return None
    by_channel = values.reshape(shape[0], -1)
    return by_channel[:, 0] if (by_channel == by_channel[:, :1]).all() else None
