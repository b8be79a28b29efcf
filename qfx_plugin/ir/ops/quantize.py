"""The cast, the only operation that loses bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import (
    MAX_WIDTH,
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
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
        low, high = self._ends(operand, self.width, self.signed, self.overflow)
        if not self.overflow.saturates:  # what is outside comes back anywhere
            least, most = self._declared_range()
            drop = (operand.frac_bits - points).astype(object)
            down, up = 2 ** np.maximum(drop, 0), 2 ** np.maximum(-drop, 0)
            inside = (operand.low * up >= least * down) & (operand.high * up <= most * down)
            low, high = np.where(inside, low, least), np.where(inside, high, most)
        return FixedType(operand.shape, points, low.astype(object), high.astype(object))

    def fits(self, operand: TensorType) -> bool:
        """Whether no code overflows, whatever the operand: the cast needs no logic for that."""
        if isinstance(operand, RealType) or self.width > MAX_WIDTH - 2:
            return False
        low, high = self._ends(operand, MAX_WIDTH, True, OverflowMode.AP_SAT)
        least, most = self._declared_range()
        return bool((low >= least).all() and (high <= most).all())

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

    def _ends(
        self, operand: FixedType, width: int, signed: bool, overflow: OverflowMode
    ) -> NDArray[np.int64]:
        """(2, channels) codes of both ends of the operand's range; saturation is monotone."""
        ends = np.stack([operand.low, operand.high])
        points = operand.frac_bits, self.points
        return requantize(ends, *points, width, signed, self.rounding, overflow)
