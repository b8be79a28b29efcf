"""How values travel over AXI-Stream: beats of packed codes or floats, as NumPy sees them.

The same layout as `templates/qfx_axi_stream.h` describes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....driver import Layout
from ....errors import TargetError

WIDTHS = (8, 16, 32, 64)
FLOAT_BITS = 32
FLOAT_EXACT = 24


@dataclass(frozen=True)
class Wire:
    """One direction of the accelerator.

    Attributes:
        size: values in one sample.
        width: word length of a code in bits.
        signed: whether codes are two's complement.
        frac_bits: bits right of the binary point of every code.
        beat_bits: bits of a beat.
        is_float: 32-bit floats instead of codes.
    """

    size: int
    width: int
    signed: bool
    frac_bits: int
    beat_bits: int
    is_float: bool = False

    @property
    def bits(self) -> int:
        """Bits of one value on the wire."""
        if self.is_float:
            return FLOAT_BITS
        return next(bits for bits in WIDTHS if bits >= self.width)

    @property
    def lanes(self) -> int:
        """Values in a beat."""
        return self.beat_bits // self.bits

    @property
    def beats(self) -> int:
        """Beats of one sample."""
        return -(-self.size // self.lanes)

    def check(self, direction: str, *, exact_float: bool) -> Wire:
        """The wire itself.

        Raises:
            TargetError: a value does not fit into a beat, or a float would round it.
        """
        if self.width > WIDTHS[-1]:
            raise TargetError(f"{direction}: a code must have at most 64 bits, not {self.width}")
        if self.bits > self.beat_bits:
            raise TargetError(
                f"axis_width must be at least {self.bits} for the {direction}, whose codes have "
                f"{self.width} bits, not {self.beat_bits}"
            )
        if self.is_float and exact_float and self.width > FLOAT_EXACT:
            raise TargetError(
                f"interface must be codes for the {direction}: its codes have {self.width} bits, "
                f"and a 32-bit float holds {FLOAT_EXACT}"
            )
        return self

    def pack(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """(samples, size) codes, or floats if `is_float`, as (samples * beats, bytes)."""
        kind = np.float32 if self.is_float else np.dtype(f"<i{self.bits // 8}")
        wide = np.zeros((len(values), self.beats * self.lanes), dtype=kind)
        wide[:, : self.size] = values.astype(kind)
        return wide.view(np.uint8).reshape(len(values) * self.beats, self.beat_bits // 8)

    def layout(self) -> Layout:
        """The same for the driver: a sample is one position."""
        return Layout(1, self.size, self.bits, self.signed, self.beat_bits, self.is_float)


def beat_lines(beats: NDArray[np.uint8]) -> str:
    """Beats as lines of hexadecimal digits, highest first."""
    return "".join(bytes(beat[::-1]).hex() + "\n" for beat in beats)
