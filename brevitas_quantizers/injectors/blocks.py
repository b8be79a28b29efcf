"""Weights with a binary point for each output channel and block of inputs, after FAST and MX.

A block is `block_size` neighbours on the input axis of a weight. In files and on hardware the codes
of an output channel travel in its finest LSB, in words long enough for its coarsest block: shifted,
so that every target computes them exactly, and an adder graph pays for no more digits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.fixed_point import FormatError

from .options import MAX_BIT_WIDTH, BinaryPointInit
from .quantizers import FixedPointQuantizer, KHotQuantizer

_MOST_FINER = 8  # bits, than the coarsest block of a channel: such weights hardly count beside it


def block_shape(channels: tuple[int, ...], axis: int, inputs: int, size: int) -> tuple[int, ...]:
    """Shape of the binary points: the input axis as (blocks, 1).

    Args:
        channels: shape with one binary point for each output channel.
        axis: of the inputs in the weight.
        inputs: their number.
        size: of a block.
    """
    return (*channels[:axis], -(-inputs // size), 1, *channels[axis + 1 :])


class BlockQuantizer(FixedPointQuantizer):
    """Casts weights by a binary point for each block; `binary_point` is of `block_shape`."""

    input_axis: int

    def spread(self, point: Tensor, x: Tensor) -> Tensor:
        """Binary points, broadcastable to the weight `x`."""
        if point.ndim == x.ndim:
            return point
        axis, size = self.input_axis, self._block_size
        sizes = [-1] * point.ndim
        sizes[axis + 1] = size
        return point.expand(sizes).flatten(axis, axis + 1).narrow(axis, 0, x.shape[axis])

    def cast(self, x: Tensor, frac_bits: Tensor, **options: bool) -> Tensor:  # type: ignore[override] # hands its options on
        """The arithmetic, for binary points of blocks."""
        cast: Any = super().cast  # of the quantizer behind
        y: Tensor = cast(x, self.spread(frac_bits, x), **options)
        return y

    def forward(self, x: Tensor, relu: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As of any quantizer; scale and word length are those that codes travel in."""
        y, _, zero_point, bit_width = super().forward(x, relu)
        return y, exact_exp2(-self.points), zero_point, bit_width.detach() + self._farthest()

    @property
    def points(self) -> Tensor:
        """Binary points of the codes as they travel: the finest of each output channel."""
        return self.binary_point.detach().round().amax(self.input_axis)

    @property
    def rounded_width(self) -> int:
        """Word length in which codes travel.

        Raises:
            FormatError: longer than any word.
        """
        width = super().rounded_width + int(self._farthest())
        if width > MAX_BIT_WIDTH:
            raise FormatError(
                f"{self.name}: blocks of an output channel must be near enough for words of "
                f"{MAX_BIT_WIDTH} bits, not {width}; use a larger block_size"
            )
        return width

    def _farthest(self) -> Tensor:
        """Most bits between two blocks of an output channel."""
        points = self.binary_point.detach().round()
        return (points.amax(self.input_axis) - points.amin(self.input_axis)).max()

    @torch.no_grad()
    def suitable_point(
        self, values: Tensor, across_ranks: bool = False, init: BinaryPointInit | None = None
    ) -> Tensor:
        """As of any quantizer; blocks of zeros follow the coarsest block of their channel."""
        axis, size = self.input_axis, self._block_size
        lacking = -values.shape[axis] % size
        behind = [0, 0] * (values.ndim - 1 - axis) + [0, lacking]
        values = F.pad(values.detach(), behind).unflatten(axis, (-1, size))
        points = super().suitable_point(values, across_ranks, init)
        other = [a for a in range(values.ndim) if self.binary_point.shape[a] == 1]
        used = values.abs().amax(other, keepdim=True) > 0
        coarsest = points.masked_fill(~used, torch.inf).amin(axis, keepdim=True)
        coarsest = torch.where(coarsest.isinf(), points.amin(axis, keepdim=True), coarsest)
        return torch.where(used, torch.minimum(points, coarsest + _MOST_FINER), coarsest)

    @property
    def _block_size(self) -> int:
        return int(self.options.block_size or 1)


class BlockKHot(BlockQuantizer, KHotQuantizer):
    """K-hot weights with a binary point for each block."""


BLOCK_TWINS: dict[type[FixedPointQuantizer], type[BlockQuantizer]] = {
    FixedPointQuantizer: BlockQuantizer,
    KHotQuantizer: BlockKHot,
}
"""By class of a weight quantizer, the one with blocks."""
