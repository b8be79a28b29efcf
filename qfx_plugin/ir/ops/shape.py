"""Operations that move elements and compute nothing: Reshape, Concat."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..types import FixedType, RealType, TensorType
from .base import Op, View, align, check_size, operation


@operation
class Reshape(View):
    """Another shape for the same elements in the same order; Flatten is `shape=(n,)`.

    Channels with own binary points keep them where each new channel lies within an old one;
    otherwise all codes move to the finest binary point.

    Attributes:
        shape: new shape of one sample.
    """

    shape: tuple[int, ...]

    def result(self, *operands: TensorType) -> TensorType:
        """The operand's range, per new channel where possible."""
        (operand,) = operands
        if prod(operand.shape) != prod(self.shape):
            raise self.refuse(
                f"{list(operand.shape)} has not as many elements as {list(self.shape)}"
            )
        if isinstance(operand, RealType):
            return RealType(self.shape)
        if not operand.per_channel:
            return FixedType(self.shape, operand.frac_bits, operand.low, operand.high)
        repeats = self._repeats(operand)
        if repeats:
            return FixedType(
                self.shape,
                np.repeat(operand.frac_bits, repeats),
                np.repeat(operand.low, repeats),
                np.repeat(operand.high, repeats),
            )
        bits = operand.frac_bits.max(keepdims=True)
        low, high = operand.aligned(bits)
        return FixedType(self.shape, bits, low.min(keepdims=True), high.max(keepdims=True))

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """The elements in their new shape."""
        (codes,), (operand,) = operands, types
        if isinstance(operand, FixedType) and operand.per_channel and not self._repeats(operand):
            codes = align(codes, operand, self.fixed(result).frac_bits)
        return codes.reshape(codes.shape[0], *self.shape)

    def seen(self, elements: NDArray[Any]) -> NDArray[Any]:
        """The elements in their new shape."""
        return elements.reshape(self.shape)

    def _repeats(self, operand: FixedType) -> int:
        """New channels per old channel, 0 if a new channel spans several old ones."""
        old, new = operand.shape[0], self.shape[0] if self.shape else 1
        return new // old if new % old == 0 else 0


@operation
class Concat(Op):
    """Join tensors along the channel axis; every channel keeps its binary point."""

    arity: ClassVar[int | None] = None

    def result(self, *operands: TensorType) -> FixedType:
        """The channels of all operands, one after the other."""
        parts = [self.fixed(part, index).channels() for index, part in enumerate(operands)]
        if len({part.shape[1:] for part in parts}) != 1:
            shapes = [list(part.shape) for part in parts]
            raise self.refuse(f"operands must agree in all but the channel axis, not {shapes}")
        shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
        return FixedType(
            check_size(self, shape),
            np.concatenate([part.frac_bits for part in parts]),
            np.concatenate([part.low for part in parts]),
            np.concatenate([part.high for part in parts]),
        )

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """The codes, side by side."""
        batch = max(part.shape[0] for part in operands)
        wide = [np.broadcast_to(part, (batch, *part.shape[1:])) for part in operands]
        return np.concatenate(wide, axis=1)
