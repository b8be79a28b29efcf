"""How the codes of a sample lie in the bytes that travel to and from the accelerator.

A sample is a row of positions, a position a row of codes, each in a slot of 8, 16, 32 or 64 bits.
If several positions fit into a beat, a beat carries as many as fit; else each position begins in a
beat of its own. Every sample begins in a beat of its own. The lowest bits come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLOTS = (8, 16, 32, 64)
"""Bits that a code can have on the bus."""


@dataclass(frozen=True)
class Layout:
    """One direction of the bus.

    Attributes:
        positions: in a sample.
        values: codes of a position.
        bits: of a slot.
        signed: whether slots hold two's complement.
        bus_bits: of a beat.
        is_float: slots hold 32-bit floats, not codes.
    """

    positions: int
    values: int
    bits: int
    signed: bool
    bus_bits: int
    is_float: bool = False

    @property
    def lanes(self) -> int:
        """Slots of a beat."""
        return self.bus_bits // self.bits

    @property
    def fit(self) -> int:
        """Positions of a beat; 1 also if a position takes several beats."""
        return max(1, min(self.lanes // self.values, self.positions))

    @property
    def beats_per_position(self) -> int:
        """Beats that a position takes; 1 also if several positions share one."""
        return -(-self.values // self.lanes)

    @property
    def word_bits(self) -> int:
        """Bits of a position inside the shell: whole beats if it takes one or more."""
        if self.values >= self.lanes:
            return self.beats_per_position * self.bus_bits
        return self.values * self.bits

    @property
    def beats(self) -> int:
        """Beats of a sample."""
        return -(-self.positions // self.fit) * self.beats_per_position

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        return self.beats * self.bus_bits // 8

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy type of a slot."""
        if self.is_float:
            return np.dtype("<f4")
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.bits // 8}")

    def pack(self, codes: NDArray[Any], target: NDArray[np.uint8]) -> None:
        """Write codes as bytes.

        Args:
            codes: (samples, positions, values) integers, each within its slot; or floats, which
                are rounded to 32 bits.
            target: (samples * `sample_bytes`,) bytes to write to.
        """
        self._positions(target, len(codes))[:] = self._padded(codes)

    def unpack(self, source: NDArray[np.uint8], samples: int) -> NDArray[Any]:
        """(samples * `sample_bytes`,) bytes to (samples, positions, values) codes or floats."""
        rows = self._positions(source, samples).reshape(samples, -1, self.values)
        return rows[:, : self.positions].astype(np.float64 if self.is_float else np.int64)

    def _positions(self, data: NDArray[np.uint8], samples: int) -> NDArray[Any]:
        """The slots that are used, as a view of the bytes: (samples, groups, values of a group)."""
        slots = data[: samples * self.sample_bytes].view(self.dtype)
        group = self.beats_per_position * self.lanes
        return slots.reshape(samples, -1, group)[:, :, : self.fit * self.values]

    def _padded(self, codes: NDArray[Any]) -> NDArray[Any]:
        """(samples, groups, values of a group): positions that share a beat side by side."""
        samples = len(codes)
        missing = -self.positions % self.fit
        if missing:
            codes = np.pad(codes, ((0, 0), (0, missing), (0, 0)))
        return codes.reshape(samples, -1, self.fit * self.values).astype(self.dtype)
