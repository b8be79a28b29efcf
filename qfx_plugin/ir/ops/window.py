"""Sliding windows of convolutions and pools, in one or two spatial dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """Geometry of a sliding window; every tuple has one entry per spatial dimension.

    Attributes:
        kernel: elements of the window.
        strides: steps between windows.
        pads: elements added before and after each dimension, `((top, bottom), (left, right))`.
        dilations: steps between the elements of a window.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilations: tuple[int, ...]

    @classmethod
    def plain(cls, *kernel: int, stride: int = 1) -> Window:
        """A window without padding and dilation."""
        rank = len(kernel)
        return cls(kernel, (stride,) * rank, ((0, 0),) * rank, (1,) * rank)

    @property
    def area(self) -> int:
        """Elements of one window."""
        return prod(self.kernel)

    @property
    def padded(self) -> bool:
        """Whether any element is added."""
        return any(sum(pad) for pad in self.pads)

    @property
    def extent(self) -> tuple[int, ...]:
        """Size of the window in the input, dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def two_dimensional(self, row: bool = True) -> Window:
        """The same window on images of one row, or of one column; as it is if it has two axes."""
        if len(self.kernel) == 2:
            return self
        (kernel,), (stride,), (pad,), (dilation,) = (
            self.kernel, self.strides, self.pads, self.dilations
        )  # fmt: skip
        axes = ((1, kernel), (1, stride), ((0, 0), pad), (1, dilation))
        return Window(*(axis if row else axis[::-1] for axis in axes))  # type: ignore[arg-type]

    @property
    def is_sane(self) -> bool:
        """Whether sizes and steps are positive, and paddings not negative."""
        positive = min(*self.kernel, *self.strides, *self.dilations) >= 1
        return positive and min(map(min, self.pads)) >= 0

    @property
    def pads_within(self) -> bool:
        """Whether no window lies in padding alone: each is shorter than the window."""
        return all(max(pad) < size for pad, size in zip(self.pads, self.extent, strict=True))

    def positions(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Number of windows in each dimension of an input of size `spatial`."""
        sizes = zip(spatial, self.pads, self.extent, self.strides, strict=True)
        return tuple((size + sum(pad) - ext) // step + 1 for size, pad, ext, step in sizes)

    def padded_size(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Size of an input of size `spatial` with its padding."""
        return tuple(size + sum(pad) for size, pad in zip(spatial, self.pads, strict=True))

    def slices(self, x: NDArray[Any], fill: int) -> Iterator[NDArray[Any]]:
        """For each element of the window: (batch, channels, *positions), that element everywhere.

        Args:
            x: (batch, channels, *spatial).
            fill: value of the padding.
        """
        out = self.positions(x.shape[2:])
        if self.padded:
            x = np.pad(x, ((0, 0), (0, 0), *self.pads), constant_values=fill)
        for offset in product(*map(range, self.kernel)):
            dims = zip(offset, self.dilations, self.strides, out, strict=True)
            index = [slice(o * d, o * d + step * (n - 1) + 1, step) for o, d, step, n in dims]
            yield x[(slice(None), slice(None), *index)]
