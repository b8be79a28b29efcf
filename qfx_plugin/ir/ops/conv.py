"""Convolution in one or two dimensions: grouped, depthwise, strided, dilated, padded."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exact import carrier, matmul
from ..types import BigInts, FixedType, TensorType
from .base import align, check_size, column, operation
from .linear import Weighted
from .window import Window


@operation
class Conv(Weighted):
    """Convolution on (batch, channels, *spatial); weights are (outputs, channels/groups, *kernel).

    Attributes:
        window: kernel, strides, zero padding and dilation.
        groups: number of independent groups of channels.
    """

    window: Window
    groups: int = 1

    @property
    def is_depthwise(self) -> bool:
        """Whether each of several channels has one kernel of its own."""
        return self.groups == self.outputs > 1 and self.weight.codes.shape[1] == 1

    def result(self, *operands: TensorType) -> FixedType:
        """(outputs, *positions) accumulators; zero padding widens the input's range to hold 0."""
        operand = self.fixed(operands[0])
        self._check(operand)
        low, high = operand.aligned(operand.frac_bits.max())
        if self.window.padded:
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        check_size(
            self, (operand.shape[0], *self.window.padded_size(operand.shape[1:])), "padded input"
        )
        shape = check_size(self, (self.outputs, *self.window.positions(operand.shape[1:])))
        per_input = self.weight.codes.shape[1]
        matrix = self.weight.codes.reshape(self.outputs, -1)
        low, high = (self._per_weight(edge, per_input) for edge in (low, high))
        return self.accumulator(operand, matrix, low, high, shape)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Gather the windows, then one exact matrix product per sample and group."""
        operand, peak = self.fixed(types[0]), self.fixed(result).peak
        x = align(operands[0], operand, operand.frac_bits.max(keepdims=True))
        x = x.astype(carrier(peak))
        weight, positions = self.carried_weight(operand, peak), result.shape[1:]
        if self.is_depthwise:
            sums = self._by_channel(x, weight)
        else:
            columns = self._columns(x, prod(positions))
            rows = weight.reshape(self.groups, -1, columns.shape[2])
            sums = matmul(rows, columns, peak).reshape(len(x), self.outputs, *positions)
        return self.add_bias(sums, operand)

    def workspace(self, types: Sequence[TensorType], result: TensorType) -> int:
        """Elements of the gathered windows."""
        return types[0].shape[0] * self.window.area * prod(result.shape[1:])

    def _per_weight(self, edge: BigInts, per_input: int) -> BigInts:
        """(1,) or (channels,) bounds of the input as (n,) or (outputs, n), like the weights."""
        if edge.size == 1:
            return np.broadcast_to(edge, (per_input * self.window.area,))
        if self.groups == 1:
            return np.repeat(edge, self.window.area)
        rows = np.repeat(np.arange(self.groups), self.outputs // self.groups)
        return np.repeat(edge.reshape(self.groups, per_input)[rows], self.window.area, axis=1)

    def _by_channel(self, x: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
        """Each channel's sums, an element of the window after the other."""
        taps = weight.reshape(self.outputs, -1).T
        total = np.zeros((), x.dtype)
        for tap, part in zip(taps, self.window.slices(x, fill=0), strict=True):
            total = total + column(tap, x.ndim - 1) * part
        return np.asarray(total, dtype=np.int64)

    def _columns(self, x: NDArray[Any], positions: int) -> NDArray[Any]:
        """(batch, groups, channels/groups * kernel, positions) windows."""
        batch, channels = x.shape[:2]
        rows = channels // self.groups * self.window.area
        if self.window == Window.plain(*[1] * len(self.window.kernel)):
            return x.reshape(batch, self.groups, rows, positions)
        columns: NDArray[Any] = np.empty((batch, channels, self.window.area, positions), x.dtype)
        for index, part in enumerate(self.window.slices(x, fill=0)):
            columns[:, :, index] = part.reshape(batch, channels, positions)
        return columns.reshape(batch, self.groups, rows, positions)

    def _check(self, operand: FixedType) -> None:
        self.check_bias()
        weight, rank = self.weight.codes.shape, len(self.window.kernel)
        if len(operand.shape) != rank + 1:
            raise self.refuse(f"input must have {rank + 1} dimensions, not {list(operand.shape)}")
        if weight[2:] != self.window.kernel:
            raise self.refuse(f"kernel must be {list(weight[2:])}, not {list(self.window.kernel)}")
        if not self.window.is_sane:
            raise self.refuse(f"its geometry is impossible: {self.window}")
        channels = weight[1] * self.groups
        if self.groups < 1 or weight[0] % self.groups or operand.shape[0] != channels:
            raise self.refuse(
                f"weight {list(weight)} with {self.groups} groups needs {channels} input channels, "
                f"not {operand.shape[0]}"
            )
