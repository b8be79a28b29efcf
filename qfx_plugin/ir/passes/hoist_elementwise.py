"""Operations on single elements in front of the Flatten that they stand behind.

There they are one function per channel instead of one per element, and join what comes before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph
from ..ops import Binary, Constant, Elementwise, Op, Reshape, Transpose, View
from ..ops.base import pick_weight
from ..types import FixedType
from .edit import is_read_once


def hoist_elementwise(graph: Graph, over: type[View] = View) -> Graph:
    """The same function, with everything that does not look at places before what moves them.

    Args:
        graph: the network.
        over: which views; all, or one kind.
    """
    while True:
        for op in graph.ops:
            if (found := _swapped(graph, op, over)) is not None:
                graph = found
                break
        else:
            return graph


def _swapped(graph: Graph, op: Op, over: type[View]) -> Graph | None:
    """The graph with `op` before the Reshape or Transpose that it reads, if that is possible."""
    if not isinstance(op, Elementwise):
        return None
    producers = {name: graph.producer(name) for name in op.inputs}
    sources = [name for name, one in producers.items() if not isinstance(one, Constant)]
    if len(sources) != 1 or len(op.inputs) - len(producers):
        return None
    (name,) = sources
    mover = producers[name]
    if not isinstance(mover, over) or not is_read_once(graph, name):
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
    op: Elementwise, mover: View, shape: tuple[int, ...], producers: dict[str, Op]
) -> list[Op] | None:
    """`op` on a tensor of this shape, and its constant, if there is one."""

    def pick(values: NDArray[np.int64]) -> NDArray[np.int64] | None:
        return _per_channel(values, mover, shape)

    if not isinstance(op, Binary):
        early = op.with_channels(pick)
        return None if early is None else [early]
    (constant,) = (one for one in producers.values() if isinstance(one, Constant))
    weight = pick_weight(constant.weight, pick)
    if weight is None:
        return None
    codes = weight.codes.reshape(-1, *[1] * (len(shape) - 1))
    weight = replace(weight, codes=codes)
    return [op, replace(constant, output=f"{op.output}:constant", weight=weight)]


def _per_channel(
    values: NDArray[np.int64], mover: View, shape: tuple[int, ...]
) -> NDArray[np.int64] | None:
    """(1,) or (channels,) of (1,) or (elements,), if all elements of a channel have the same."""
    if values.size == 1:
        return values
    if not isinstance(mover, Reshape) or len(mover.shape) != 1 or len(shape) == 1:
        return None
    by_channel = values.reshape(shape[0], -1)
    return by_channel[:, 0] if (by_channel == by_channel[:, :1]).all() else None
