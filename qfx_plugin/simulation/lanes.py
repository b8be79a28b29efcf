"""How integer codes lie in the bits of a port: side by side, the first in the lowest bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError

Codes: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint32]


@dataclass(frozen=True)
class Lanes:
    """The elements of one beat of a port.

    Attributes:
        widths: bits of each element, at most 64; 0 for an element that is always zero.
        signed: whether each element is two's complement.
    """

    widths: tuple[int, ...]
    signed: tuple[bool, ...]

    @classmethod
    def uniform(cls, count: int, width: int, signed: bool = True) -> Lanes:
        """`count` elements of the same kind."""
        return cls((width,) * count, (signed,) * count)

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.signed):
            raise DataError(f"lanes must have one sign each, not {len(self.signed)} signs")
        if min(self.widths, default=0) < 0 or max(self.widths, default=0) > 64:
            raise DataError(
                f"lanes must have 0 to 64 bits, not {min(self.widths)} to {max(self.widths)}"
            )

    @property
    def bits(self) -> int:
        """Bits of one beat."""
        return sum(self.widths)

    @property
    def words(self) -> int:
        """32-bit words that hold one beat."""
        return max(1, -(-self.bits // 32))

    def pack(self, codes: ArrayLike) -> Words:
        """Codes to 32-bit words, lowest word first.

        Args:
            codes: (beats, lanes) integers, each within its lane's range.

        Returns:
            (beats, words) uint32.

        Raises:
            DataError: wrong shape, or a code does not fit its lane.
        """
        array = np.asarray(codes)
        if array.ndim != 2 or array.shape[1] != len(self.widths) or array.dtype.kind not in "iub":
            raise DataError(
                f"codes must be integers of shape (beats, {len(self.widths)}), not {array.dtype} "
                f"of shape {array.shape}"
            )
        array = array.astype(np.int64)
        self._check_range(array)
        bits = np.zeros((len(array), 32 * self.words), dtype=np.uint8)
        lane, bit = self._bit_positions
        bits[:, : self.bits] = (array[:, lane] >> bit) & 1
        return np.packbits(bits, axis=1, bitorder="little").view("<u4").astype(np.uint32)

    def unpack(self, words: Words) -> Codes:
        """(beats, words) uint32 to (beats, lanes) int64 codes."""
        raw = np.ascontiguousarray(words, dtype="<u4").view(np.uint8)
        bits = np.unpackbits(raw, axis=1, bitorder="little")[:, : self.bits]
        codes = np.zeros((len(words), len(self.widths)), dtype=np.int64)
        offsets = np.cumsum((0, *self.widths[:-1]))
        for width in set(self.widths) - {0}:
            lanes = np.flatnonzero(np.array(self.widths) == width)
            part = bits[:, offsets[lanes][:, np.newaxis] + np.arange(width)].astype(np.int64)
            value = (part << np.arange(width)).sum(axis=2)
            if width < 64:
                negative = np.array(self.signed)[lanes] & (part[:, :, -1] == 1)
                value -= negative.astype(np.int64) << width
            codes[:, lanes] = value
        return codes

    @cached_property
    def _bit_positions(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """For each bit of a beat: its lane, and its position within the lane."""
        widths = np.array(self.widths, dtype=np.int64)
        lane = np.repeat(np.arange(len(widths)), widths)
        starts = np.cumsum(widths) - widths
        return lane, np.arange(self.bits) - starts[lane]

    def _check_range(self, codes: Codes) -> None:
        for index, (width, signed) in enumerate(zip(self.widths, self.signed, strict=True)):
            column = codes[:, index]
            if not column.size or width == 64:
                continue
            low = -(1 << width - 1) if signed and width else 0
            high = (1 << width - signed) - 1 if width else 0
            if not low <= int(column.min()) <= int(column.max()) <= high:
                raise DataError(
                    f"codes of lane {index} must lie in [{low}, {high}], not in "
                    f"[{column.min()}, {column.max()}]"
                )
