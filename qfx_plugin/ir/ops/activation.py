"""Piecewise linear activations with constants: PReLU, and clipping to a range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..types import BigInts, Codes, FixedType, TensorType, Weight
from .base import Elementwise, Pick, align, column, operation, pick_weight


@operation
class PRelu(Elementwise):
    """`x` where it is positive, `slope * x` elsewhere, exactly.

    Attributes:
        slope: (1,) or (channels,) codes with their binary points.
    """

    slope: Weight

    def result(self, *operands: TensorType) -> FixedType:
        """Both branches on the finer one's binary point; the extremes are at the ends or at 0."""
        operand = self.fixed(operands[0])
        self._check(operand)
        ends = [self._at(operand.low), self._at(operand.high)]
        low, high = np.minimum(*ends), np.maximum(*ends)
        spans_zero = (operand.low <= 0) & (operand.high >= 0)
        low = np.where(spans_zero, np.minimum(low, 0), low)
        high = np.where(spans_zero, np.maximum(high, 0), high)
        return FixedType(operand.shape, operand.frac_bits + self._shifts()[0], low, high)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """A shift, or one multiplication by the slope, for each code."""
        (x,), rank = operands, len(types[0].shape)
        above, below = (np.minimum(shift, 62) for shift in self._shifts())
        slope = column(self.slope.codes << below, rank)
        codes: NDArray[Any] = np.where(x > 0, x << column(above, rank), x * slope)
        return codes

    @property
    def differs_by_channel(self) -> bool:
        """Whether it has a slope for each channel."""
        return self.slope.codes.size > 1

    def with_channels(self, pick: Pick) -> Self | None:
        """With the slopes of those channels."""
        slope = pick_weight(self.slope, pick)
        return None if slope is None else replace(self, slope=slope)

    def _at(self, codes: BigInts) -> BigInts:
        """The function itself on (1,) or (channels,) Python ints."""
        above, below = (2 ** shift.astype(object) for shift in self._shifts())
        slope = self.slope.codes.astype(object) * below
        result: BigInts = np.where(codes > 0, codes * above, codes * slope)
        return result

    def _shifts(self) -> tuple[Codes, Codes]:
        """Left shifts that bring `x`, and the product, to the finer of their binary points."""
        points = self.slope.per_output()
        return np.maximum(points, 0), np.maximum(-points, 0)

    def _check(self, operand: FixedType) -> None:
        shape, channels = self.slope.codes.shape, operand.shape[0] if operand.shape else 1
        if shape not in ((1,), (channels,)):
            raise self.refuse(f"slope must have shape [1] or [{channels}], not {list(shape)}")


@operation
class Clip(Elementwise):
    """`min(max(x, low), high)`; a missing bound is no bound.

    Attributes:
        low: lower bound in units of `2**-frac_bits`, or None.
        high: upper bound, likewise.
        frac_bits: binary point of the bounds.
    """

    low: int | None
    high: int | None
    frac_bits: int = 0

    def result(self, *operands: TensorType) -> FixedType:
        """The operand's range, cut, on the finer of its binary point and the bounds'."""
        operand = self.fixed(operands[0])
        if self.low is not None and self.high is not None and self.low > self.high:
            raise self.refuse(f"bounds must be in order, not {self.low} and {self.high}")
        bits = np.maximum(operand.frac_bits, self.frac_bits)
        low, high = (self._clipped(end, bits) for end in operand.aligned(bits))
        return FixedType(operand.shape, bits, low, high, self._peak(operand, bits))

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Aligned codes, cut."""
        bits = self.fixed(result).frac_bits
        x = align(operands[0], self.fixed(types[0]), bits)
        return self._clipped(x, column(bits, len(result.shape)))

    def _clipped(self, codes: NDArray[Any], bits: Codes) -> NDArray[Any]:
        shift = bits - self.frac_bits
        shift = shift.astype(object) if codes.dtype == object else np.minimum(shift, 62)
        if self.low is not None:
            codes = np.maximum(codes, self.low * 2**shift)
        if self.high is not None:
            codes = np.minimum(codes, self.high * 2**shift)
        return codes

    def _peak(self, operand: FixedType, bits: Codes) -> int:
        """Largest magnitude of the aligned operand and of the aligned bounds."""
        bounds = [abs(bound) for bound in (self.low, self.high) if bound is not None]
        aligned = max(int(np.abs(end).max()) for end in operand.aligned(bits))
        return max(aligned, max(bounds, default=0) << int(bits.max() - self.frac_bits))
