"""Several tensors in one: Concat."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..types import FixedType, TensorType
from .base import Op, align, check_size, operation


@operation
class Concat(Op):
    """Join tensors along one axis.

    Along the first, every channel keeps its binary point; along another one, each channel has the
    finest of those that meet in it.

    Attributes:
        axis: of the samples.
    """

    arity: ClassVar[int | None] = None

    axis: int = 0

    def result(self, *operands: TensorType) -> FixedType:
        """The operands, one after the other."""
        parts = [self.fixed(part, index) for index, part in enumerate(operands)]
        shapes = [part.shape for part in parts]
        if not 0 <= self.axis < min(map(len, shapes)):
            raise self.refuse(f"operands of {list(map(list, shapes))} have no axis {self.axis}")
        if len({shape[: self.axis] + shape[self.axis + 1 :] for shape in shapes}) != 1:
            axis = f"axis {self.axis}" if self.axis else "the channel axis"
            raise self.refuse(
                f"operands must agree in all but {axis}, not {list(map(list, shapes))}"
            )
        total = sum(shape[self.axis] for shape in shapes)
        shape = (*shapes[0][: self.axis], total, *shapes[0][self.axis + 1 :])
        check_size(self, shape)
        if self.axis:
            bits = reduce(np.maximum, (part.frac_bits for part in parts))
            lows, highs = zip(*(part.aligned(bits) for part in parts), strict=True)
            return FixedType(shape, bits, reduce(np.minimum, lows), reduce(np.maximum, highs))
        parts = [part.channels() for part in parts]
        return FixedType(
            shape,
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
        if self.axis:
            bits, kinds = self.fixed(result).frac_bits, map(self.fixed, types)
            wide = [align(codes, kind, bits) for codes, kind in zip(wide, kinds, strict=True)]
        return np.concatenate(wide, axis=self.axis + 1)
