"""Selections: Slice, Pad, Upsample and Gather look at each axis on its own."""

from __future__ import annotations

import numpy as np

from ..types import Codes
from .arrangement import ZERO, Selection
from .base import check_size, operation

PAD_MODES = ("constant", "reflect", "edge", "wrap")
"""Of `Pad`, by ONNX's names: zeros, the mirror image, the last element again, and round about."""


@operation
class Slice(Selection):
    """A part of the operand: from `starts` on, `sizes` indices, each `steps` from the one before.

    Attributes:
        starts: first index of each axis of a sample.
        sizes: how many of each axis.
        steps: from one to the next; negative ones go back.
    """

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    def picks(self, shape: tuple[int, ...]) -> tuple[Codes, ...]:
        """Regular indices, all of them within the operand."""
        if not len(self.starts) == len(self.sizes) == len(self.steps) == len(shape):
            raise self.refuse(f"needs starts, sizes and steps of each axis of {list(shape)}")
        found = zip(self.starts, self.sizes, self.steps, shape, strict=True)
        for start, size, step, most in found:
            if size < 1 or not (0 <= start < most and 0 <= start + (size - 1) * step < most):
                raise self.refuse(
                    f"starts {list(self.starts)}, sizes {list(self.sizes)} and steps "
                    f"{list(self.steps)} leave {list(shape)}"
                )
        ranges = zip(self.starts, self.sizes, self.steps, strict=True)
        return tuple(start + step * np.arange(size) for start, size, step in ranges)


@operation
class Pad(Selection):
    """The operand with more around it.

    Attributes:
        pads: how many indices in front of and behind each axis of a sample.
        mode: one of `PAD_MODES`.
    """

    pads: tuple[tuple[int, int], ...]
    mode: str = "constant"

    def picks(self, shape: tuple[int, ...]) -> tuple[Codes, ...]:
        """All indices in order, and what stands around them."""
        if self.mode not in PAD_MODES:
            raise self.refuse(f"mode must be one of {', '.join(PAD_MODES)}, not {self.mode!r}")
        sides = [side for pad in self.pads for side in pad]
        if len(self.pads) != len(shape) or min(sides, default=0) < 0:
            raise self.refuse(
                f"pads {[list(pad) for pad in self.pads]} must be at least 0, two for each axis "
                f"of {list(shape)}"
            )
        pairs = list(zip(shape, self.pads, strict=True))
        beside = {"reflect": 1, "wrap": 0}.get(self.mode)
        for size, pad in pairs:
            if beside is not None and max(pad) > size - beside:
                raise self.refuse(f"mode {self.mode!r} has no {max(pad)} elements beside {size}")
        check_size(self, tuple(size + sum(pad) for size, pad in pairs))
        return tuple(self._padded(np.arange(size), pad) for size, pad in pairs)

    def _padded(self, places: Codes, pad: tuple[int, int]) -> Codes:
        if self.mode == "constant":
            return np.pad(places, pad, constant_values=ZERO)
        around: Codes = np.pad(places, pad, mode=self.mode)  # type: ignore[call-overload]
        return around


@operation
class Upsample(Selection):
    """Every element repeated along the spatial axes: nearest neighbour by whole factors.

    Attributes:
        factors: repetitions, one for each axis behind the channels.
    """

    factors: tuple[int, ...]

    def picks(self, shape: tuple[int, ...]) -> tuple[Codes, ...]:
        """Each index as often as its axis says."""
        if len(self.factors) != len(shape) - 1 or min(self.factors, default=1) < 1:
            raise self.refuse(
                f"factors {list(self.factors)} must be positive, one for each axis behind the "
                f"channels of {list(shape)}"
            )
        pairs = list(zip(shape, (1, *self.factors), strict=True))
        check_size(self, tuple(size * factor for size, factor in pairs))
        return tuple(np.repeat(np.arange(size), factor) for size, factor in pairs)


@operation
class Gather(Selection):
    """Any indices of one axis, in any order and any number.

    Attributes:
        axis: of a sample.
        indices: of the operand, along that axis; -1 for a zero.
    """

    axis: int
    indices: tuple[int, ...]

    def picks(self, shape: tuple[int, ...]) -> tuple[Codes, ...]:
        """The indices; all of the other axes."""
        if not 0 <= self.axis < len(shape):
            raise self.refuse(f"axis must be 0 to {len(shape) - 1}, not {self.axis}")
        size, given = shape[self.axis], np.array(self.indices, dtype=np.int64)
        if not given.size or given.min() < ZERO or given.max() >= size:
            raise self.refuse(
                f"indices must be one or more of 0 to {size - 1}, or -1 for a zero, not "
                f"{list(self.indices)[:8]}"
            )
        return tuple(
            given if axis == self.axis else np.arange(size) for axis, size in enumerate(shape)
        )
