"""Operations on the axes of a tensor that compute nothing: Transpose, Upsample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import FixedType, RealType, TensorType
from .base import Op, View, align, check_size, operation


@operation
class Transpose(View):
    """The axes of a sample in another order, such as channels last to channels first.

    Where another axis becomes the channels, one binary point has to serve them all: the finest.

    Attributes:
        order: which axis of the operand's samples each axis of the result is.
    """

    order: tuple[int, ...]

    def result(self, *operands: TensorType) -> TensorType:
        """The operand's range."""
        (operand,) = operands
        if sorted(self.order) != list(range(len(operand.shape))):
            raise self.refuse(f"order {list(self.order)} does not fit {list(operand.shape)}")
        shape = tuple(operand.shape[axis] for axis in self.order)
        if isinstance(operand, RealType):
            return RealType(shape)
        if not operand.per_channel or self._keeps_channels():
            return FixedType(shape, operand.frac_bits, operand.low, operand.high)
        bits = operand.frac_bits.max(keepdims=True)
        low, high = operand.aligned(bits)
        return FixedType(shape, bits, low.min(keepdims=True), high.max(keepdims=True))

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """The elements at their new places."""
        (codes,), (operand,) = operands, types
        if isinstance(operand, FixedType) and operand.per_channel and not self._keeps_channels():
            codes = align(codes, operand, self.fixed(result).frac_bits)
        return np.transpose(codes, (0, *(axis + 1 for axis in self.order)))

    def seen(self, elements: NDArray[Any]) -> NDArray[Any]:
        """The elements at their new places."""
        return elements.transpose(self.order)

    def _keeps_channels(self) -> bool:
        return not self.order or self.order[0] == 0


@operation
class Upsample(Op):
    """Every element repeated along the spatial axes: nearest neighbour by whole factors.

    Attributes:
        factors: repetitions, one for each axis behind the channels.
    """

    factors: tuple[int, ...]

    def result(self, *operands: TensorType) -> FixedType:
        """The operand's range and binary points."""
        operand = self.fixed(operands[0])
        if len(self.factors) != len(operand.shape) - 1 or min(self.factors, default=1) < 1:
            raise self.refuse(
                f"factors {list(self.factors)} must be positive, one for each axis behind the "
                f"channels of {list(operand.shape)}"
            )
        sizes = zip(operand.shape[1:], self.factors, strict=True)
        shape = check_size(self, (operand.shape[0], *(size * factor for size, factor in sizes)))
        return FixedType(shape, operand.frac_bits, operand.low, operand.high)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """The elements, repeated."""
        (codes,) = operands
        for axis, factor in enumerate(self.factors, start=2):
            codes = np.repeat(codes, factor, axis=axis)
        return codes
