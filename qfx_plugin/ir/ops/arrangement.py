"""Operations that only move elements: what each of them shows, and where."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import Codes, FixedType, RealType, TensorType
from .base import Op, align, check_size

ZERO = -1
"""In the place of an index: no element of the operand, but a zero."""


@dataclass(frozen=True)
class Arrangement(Op):
    """Each element of the result is one of the operand, or a zero: nothing to compute.

    Channels with own binary points keep them where each new channel shows one old channel only;
    otherwise all codes move to the finest binary point.
    """

    @abstractmethod
    def arranged(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result for an operand of this shape.

        Raises:
            UnsupportedModelError: it does not fit.
        """

    @abstractmethod
    def placed(self, samples: NDArray[Any], fill: Any) -> NDArray[Any]:
        """The result.

        Args:
            samples: (batch, *shape), of anything.
            fill: what stands for a zero.
        """

    def seen(self, elements: NDArray[Any], fill: Any = ZERO) -> NDArray[Any]:
        """An array of the operand's shape as the result shows it."""
        shown: NDArray[Any] = self.placed(elements[np.newaxis], fill)[0]
        return shown

    def source(self, shape: tuple[int, ...]) -> Codes:
        """Which element of an operand of this shape each of the result is; `ZERO` for a zero."""
        return self.seen(np.arange(prod(shape)).reshape(shape))

    def fills(self, shape: tuple[int, ...]) -> bool:
        """Whether the result has zeros that the operand has not."""
        return False

    def channels(self, shape: tuple[int, ...]) -> Codes | None:
        """The operand's channel that each of the result shows; None if one shows several."""
        size = prod(shape[1:])
        found = self.source(shape)
        rows = found.reshape(found.shape[0] if found.ndim else 1, -1)
        shown = np.where(rows < 0, rows.max(axis=1, keepdims=True), rows) // size
        return shown[:, 0] if (shown == shown[:, :1]).all() else None

    def result(self, *operands: TensorType) -> TensorType:
        """The operand's range, per new channel where possible; a zero widens it."""
        (operand,) = operands
        shape = check_size(self, self.arranged(operand.shape))
        if isinstance(operand, RealType):
            return RealType(shape)
        bits, low, high = operand.frac_bits, operand.low, operand.high
        if operand.per_channel:
            channels = self.channels(operand.shape)
            if channels is None:
                bits = bits.max(keepdims=True)
                low, high = operand.aligned(bits)
                low, high = low.min(keepdims=True), high.max(keepdims=True)
            else:
                bits, low, high = bits[channels], low[channels], high[channels]
                low, high = (np.where(channels < 0, 0, edge) for edge in (low, high))
        if self.fills(operand.shape):
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        return FixedType(shape, bits, low, high)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """The elements at their new places."""
        (codes,), (operand,) = operands, types
        if isinstance(operand, FixedType) and self.mixes_points(operand):
            codes = align(codes, operand, operand.frac_bits.max(keepdims=True))
        return self.placed(codes, 0)

    def mixes_points(self, operand: FixedType) -> bool:
        """Whether channels with different binary points end in one channel."""
        return not operand.uniform and self.channels(operand.shape) is None


@dataclass(frozen=True)
class View(Arrangement):
    """The same elements, each of them once, in another shape or order."""


@dataclass(frozen=True)
class Selection(Arrangement):
    """Along each axis, some of the operand's indices in some order, or zeros between them."""

    @abstractmethod
    def picks(self, shape: tuple[int, ...]) -> tuple[Codes, ...]:
        """For each axis, the operand's index of each index of the result; `ZERO` for a zero.

        Raises:
            UnsupportedModelError: the shape does not fit.
        """

    def arranged(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As many indices as are picked along each axis."""
        return tuple(map(len, self.picks(shape)))

    def placed(self, samples: NDArray[Any], fill: Any) -> NDArray[Any]:
        """Axis by axis."""
        shape = samples.shape[1:]
        for axis, (picks, size) in enumerate(zip(self.picks(shape), shape, strict=True), start=1):
            if not np.array_equal(picks, np.arange(size)):
                samples = samples.take(picks, axis=axis)  # a ZERO takes the last, for now
                samples[(slice(None),) * axis + (picks == ZERO,)] = fill
        return samples

    def fills(self, shape: tuple[int, ...]) -> bool:
        """Whether any index is a zero."""
        return any((picks == ZERO).any() for picks in self.picks(shape))

    def channels(self, shape: tuple[int, ...]) -> Codes | None:
        """What is picked along the first axis."""
        return self.picks(shape)[0]
