"""Pooling: the maximum, the sum, and the exact mean by a power of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import FixedType, TensorType
from .base import Op, check_size, operation
from .window import Window


@dataclass(frozen=True)
class Pool(Op):
    """A window that slides over each channel of (batch, channels, *spatial) on its own.

    Attributes:
        window: kernel, strides and padding; no dilation.
    """

    window: Window

    def pooled_shape(self, operand: FixedType) -> tuple[int, ...]:
        """Shape of one output sample.

        Raises:
            UnsupportedModelError: the window does not fit the operand.
        """
        rank = len(self.window.kernel)
        if len(operand.shape) != rank + 1:
            raise self.refuse(f"input must have {rank + 1} dimensions, not {list(operand.shape)}")
        sane = self.window.is_sane and self.window.pads_within
        if not sane or max(self.window.dilations) > 1:
            raise self.refuse(f"its geometry is impossible: {self.window}")
        check_size(
            self, (operand.shape[0], *self.window.padded_size(operand.shape[1:])), "padded input"
        )
        spatial = self.window.positions(operand.shape[1:])
        return check_size(self, (operand.shape[0], *spatial))


@operation
class MaxPool(Pool):
    """Largest code of each window; padding never wins."""

    def result(self, *operands: TensorType) -> FixedType:
        """The operand's range and binary points."""
        operand = self.fixed(operands[0])
        columns = (operand.frac_bits, operand.low, operand.high)
        return FixedType(self.pooled_shape(operand), *columns)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Element by element of the window."""
        slices = self.window.slices(operands[0], fill=int(np.iinfo(np.int64).min))
        largest = next(slices).copy()
        for part in slices:
            np.maximum(largest, part, out=largest)
        return largest


@operation
class SumPool(Pool):
    """Sum of each window; padding counts as zeros."""

    def result(self, *operands: TensorType) -> FixedType:
        """The operand's range, as often as the window has elements."""
        operand, area = self.fixed(operands[0]), self.window.area
        low, high = operand.low, operand.high
        if self.window.padded:
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        return FixedType(self.pooled_shape(operand), operand.frac_bits, low * area, high * area)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Element by element of the window."""
        slices = self.window.slices(operands[0], fill=0)
        total = next(slices).copy()
        for part in slices:
            total += part
        return total


@operation
class AveragePool(SumPool):
    """Mean of each window: the sum, with the binary point moved by log2 of the window's area.

    The area must be a power of two, so that no bit is lost.
    """

    def result(self, *operands: TensorType) -> FixedType:
        """Sum of the window's range on a finer binary point."""
        area = self.window.area
        if area & (area - 1):
            raise self.refuse(f"its window must hold a power of two of elements, not {area}")
        total = super().result(*operands)
        return replace(total, frac_bits=total.frac_bits + area.bit_length() - 1)
