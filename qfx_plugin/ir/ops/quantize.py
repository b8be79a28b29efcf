"""The cast, the only operation that loses bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
    cast_code,
    cast_codes,
    code_range,
    requantize,
)

from ..types import FixedType, RealType, TensorType
from .base import Elementwise, Pick, column, operation


@operation
class Quantize(Elementwise):
    """Cast a tensor to a fixed-point format.

    Attributes:
        width: word length in bits.
        frac_bits: bits right of the binary point: one for the tensor, or a tuple with one per
            channel.
        signed: two's complement if true.
        rounding: what happens below the LSB.
        overflow: what happens outside the range.
    """

    width: int
    frac_bits: int | tuple[int, ...]
    signed: bool = True
    rounding: RoundingMode = RoundingMode.AP_RND_CONV
    overflow: OverflowMode = OverflowMode.AP_SAT

    def __post_init__(self) -> None:
        """Take modes by name too: whoever asks for a mode by `is` must find a member."""
        object.__setattr__(self, "rounding", RoundingMode.parse(self.rounding))
        object.__setattr__(self, "overflow", OverflowMode.parse(self.overflow))

    @property
    def points(self) -> NDArray[np.int64]:
        """(1,) or (channels,) int64: the binary points."""
        return np.asarray(self.frac_bits, dtype=np.int64).reshape(-1)

    @property
    def formats(self) -> tuple[FixedPointFormat, ...]:
        """The format, or one per channel."""
        make = FixedPointFormat.from_frac_bits
        return tuple(make(self.width, int(bits), self.signed) for bits in self.points)

    def result(self, *operands: TensorType) -> FixedType:
        """The format's range, cut down to what the operand's range can reach."""
        (operand,) = operands
        points = self.points
        channels = operand.shape[0] if operand.shape else 1
        if points.size not in (1, channels):
            raise self.refuse(f"frac_bits must have 1 or {channels} entries, not {points.size}")
        if isinstance(operand, RealType):
            low, high = np.array(self._declared_range(), dtype=object)[:, np.newaxis]
            return FixedType(operand.shape, points, low, high)
        size = max(points.size, operand.frac_bits.size)
        columns = (np.broadcast_to(points, (size,)), operand.frac_bits, operand.low, operand.high)
        wide = [np.broadcast_to(values, (size,)) for values in columns]
        ranges = [self._cast_range(*map(int, entry)) for entry in zip(*wide, strict=True)]
        low, high = np.array(ranges, dtype=object).T
        return FixedType(operand.shape, points, low, high)

    def fits(self, operand: TensorType) -> bool:
        """Whether no code overflows, whatever the operand: the cast needs no logic for that."""
        if isinstance(operand, RealType):
            return False
        size, most = max(self.points.size, operand.frac_bits.size), self._declared_range()
        columns = (
            np.broadcast_to(self.points, (size,)),
            operand.frac_bits,
            operand.low,
            operand.high,
        )
        wide = [np.broadcast_to(values, (size,)) for values in columns]
        return all(
            most[0] <= code <= most[1]
            for entry in zip(*wide, strict=True)
            for code in self._rounded(*map(int, entry))
        )

    def _rounded(self, to_bits: int, from_bits: int, low: int, high: int) -> tuple[int, ...]:
        """Codes of the ends of a range in a format that is wide enough."""
        ends = [code * Fraction(2) ** -from_bits for code in (low, high)]
        size = max(abs(int(end * Fraction(2) ** to_bits)) for end in ends)
        fmt = FixedPointFormat.from_frac_bits(size.bit_length() + 3, to_bits, True)
        return tuple(cast_code(end, fmt, self.rounding, OverflowMode.AP_SAT) for end in ends)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Float values or integer codes to codes of the format."""
        (x,), (operand,) = operands, types
        points = column(self.points, len(operand.shape))
        modes = self.rounding, self.overflow
        if isinstance(operand, FixedType):
            source = operand.frac_bits[:1] if operand.uniform else operand.frac_bits
            source = column(source, len(operand.shape))
            return requantize(x, source, points, self.width, self.signed, *modes)
        return cast_codes(x, points, self.width, self.signed, *modes)

    @property
    def differs_by_channel(self) -> bool:
        """Whether channels have their own binary points."""
        return self.points.size > 1

    def with_channels(self, pick: Pick) -> Self | None:
        """With the binary points of those channels."""
        points = pick(self.points)
        if points is None:
            return None
        bits = tuple(map(int, points)) if points.size > 1 else int(points[0])
        return replace(self, frac_bits=bits)

    def _declared_range(self) -> tuple[int, int]:
        return code_range(self.width, self.signed, self.overflow)

    def _cast_range(self, to_bits: int, from_bits: int, low: int, high: int) -> tuple[int, int]:
        cast = replace(self, name="", inputs=(), output="", frac_bits=to_bits)
        return _range_after(cast, from_bits, low, high)


@cache
def _range_after(cast: Quantize, from_bits: int, low: int, high: int) -> tuple[int, int]:
    """Codes that `[low, high] * 2**-from_bits` can become; rounding and saturation are monotone."""
    (fmt,) = cast.formats
    values = [code * Fraction(2) ** -from_bits for code in (low, high)]
    inside = all(fmt.min <= value <= fmt.max for value in values)
    declared = cast._declared_range()
    if not (cast.overflow.saturates or inside):
        return declared
    first, last = (cast_code(value, fmt, cast.rounding, cast.overflow) for value in values)
    return first, last
