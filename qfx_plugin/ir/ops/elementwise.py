"""Operations on each element: ReLU, sum, product, larger or lesser of two, identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..types import FixedType, TensorType
from .base import Elementwise, align, check_size, operation


@operation
class Identity(Elementwise):
    """The same tensor under another name."""

    def result(self, *operands: TensorType) -> TensorType:
        """The operand's type."""
        return operands[0]

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """The operand."""
        return operands[0]


@operation
class Relu(Elementwise):
    """`max(x, 0)`; the binary point stays."""

    def result(self, *operands: TensorType) -> FixedType:
        """The operand's range without its negative part."""
        operand = self.fixed(operands[0])
        low, high = np.maximum(operand.low, 0), np.maximum(operand.high, 0)
        return FixedType(operand.shape, operand.frac_bits, low, high)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Codes, clipped below at zero."""
        return np.asarray(np.maximum(operands[0], 0))


@dataclass(frozen=True)
class Binary(Elementwise):
    """Two operands of the same rank whose shapes broadcast."""

    arity: ClassVar[int | None] = 2

    def broadcast_shape(self, left: FixedType, right: FixedType) -> tuple[int, ...]:
        """Shape of one output sample.

        Raises:
            UnsupportedModelError: the shapes do not broadcast.
        """
        if len(left.shape) != len(right.shape):
            raise self.refuse(
                f"operands must have the same rank, not {list(left.shape)} and {list(right.shape)}"
            )
        try:
            return check_size(self, np.broadcast_shapes(left.shape, right.shape))
        except ValueError:
            raise self.refuse(
                f"shapes {list(left.shape)} and {list(right.shape)} do not broadcast"
            ) from None

    def aligned(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Codes of both in units of the result."""
        bits = self.fixed(result).frac_bits
        left, right = (
            align(codes, self.fixed(kind), bits)
            for codes, kind in zip(operands, types, strict=True)
        )
        return left, right


@operation
class Add(Binary):
    """Exact sum; the coarser binary point is aligned to the finer one, channel by channel."""

    def result(self, *operands: TensorType) -> FixedType:
        """Sum of the ranges on the finer binary point."""
        left, right = (self.fixed(operand, index) for index, operand in enumerate(operands))
        shape = self.broadcast_shape(left, right)
        frac_bits = np.maximum(left.frac_bits, right.frac_bits)
        (a, b), (c, d) = left.aligned(frac_bits), right.aligned(frac_bits)
        peak = max(int(np.abs(edge).max()) for edge in (a, b, c, d))
        return FixedType(shape, frac_bits, a + c, b + d, peak)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Aligned codes, added."""
        left, right = self.aligned(operands, types, result)
        return np.asarray(left + right)


@operation
class Multiply(Binary):
    """Exact product; the binary points add up, channel by channel."""

    def result(self, *operands: TensorType) -> FixedType:
        """Extremes of the four products of the operands' ends."""
        left, right = (self.fixed(operand, index) for index, operand in enumerate(operands))
        shape = self.broadcast_shape(left, right)
        ends = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
        low, high = reduce(np.minimum, ends), reduce(np.maximum, ends)
        return FixedType(shape, left.frac_bits + right.frac_bits, low, high)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Codes, multiplied."""
        return np.asarray(operands[0] * operands[1])


@operation
class Extreme(Binary):
    """The larger of two tensors, or the lesser, on the finer binary point, channel by channel.

    Attributes:
        largest: whether it is the larger.
    """

    largest: bool

    def result(self, *operands: TensorType) -> FixedType:
        """The larger of both lower ends and of both upper ends, or the lesser."""
        left, right = (self.fixed(operand, index) for index, operand in enumerate(operands))
        shape = self.broadcast_shape(left, right)
        frac_bits = np.maximum(left.frac_bits, right.frac_bits)
        (a, b), (c, d) = left.aligned(frac_bits), right.aligned(frac_bits)
        peak = max(int(np.abs(edge).max()) for edge in (a, b, c, d))
        return FixedType(shape, frac_bits, self._choose(a, c), self._choose(b, d), peak)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Aligned codes, compared."""
        return self._choose(*self.aligned(operands, types, result))

    def _choose(self, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
        return np.asarray((np.maximum if self.largest else np.minimum)(left, right))
