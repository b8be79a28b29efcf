"""Groups of a convolution as zeros of one that reads every channel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Graph
from ..ops import Conv, Op
from .edit import mapped


def spread_groups(graph: Graph) -> Graph:
    """The graph with every grouped convolution spread but depthwise ones, which targets have."""

    def change(op: Op) -> tuple[Op]:
        return (spread(op) if isinstance(op, Conv) and not op.is_depthwise else op,)

    return mapped(graph, change)


def spread(op: Conv) -> Conv:
    """One convolution without groups: the same sums."""
    if op.groups == 1:
        return op
    codes = op.weight.codes
    rows, columns = op.outputs // op.groups, codes.shape[1]
    wide = np.zeros((op.outputs, columns * op.groups, *codes.shape[2:]), dtype=np.int64)
    for group in range(op.groups):
        part = slice(group * rows, (group + 1) * rows)
        wide[part, group * columns : (group + 1) * columns] = codes[part]
    return replace(op, weight=replace(op.weight, codes=wide), groups=1)
