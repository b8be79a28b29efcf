"""Tensors of the file whose axes the graph has in another order: channels-last networks.

The intermediate model is channels first. A Transpose in the file only changes how a tensor is
looked at; the operation is written where somebody needs the file's own order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUFFIX = ":channels_first"


@dataclass(frozen=True)
class TensorView:
    """A tensor of the file as one of the graph.

    Attributes:
        tensor: name in the graph.
        order: which axis of the graph's samples each axis of the file's samples is.
    """

    tensor: str
    order: tuple[int, ...]

    @property
    def plain(self) -> bool:
        """Whether both have the same axes."""
        return self.order == tuple(range(len(self.order)))

    def transposed(self, order: Sequence[int]) -> TensorView:
        """The file's samples with their axes in another order."""
        return TensorView(self.tensor, tuple(self.order[axis] for axis in order))

    def to_graph(self, values: NDArray[Any]) -> NDArray[Any]:
        """An array (1, *file's axes) with the graph's axes."""
        return np.transpose(values, self.batch_order)

    @property
    def batch_order(self) -> tuple[int, ...]:
        """Which axis of the file's arrays, batch included, each axis of the graph's is."""
        return (0, *(self.order.index(axis) + 1 for axis in range(len(self.order))))


def channels_last(rank: int) -> tuple[int, ...]:
    """Order of channels-last samples of a channels-first tensor with so many sample axes."""
    return (*range(1, rank), 0)
