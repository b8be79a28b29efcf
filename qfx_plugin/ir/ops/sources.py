"""Operations without operands: the network's inputs and constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..types import FixedType, RealType, TensorType, Weight
from .base import Op, check_size, operation


@operation
class Input(Op):
    """A float input of the network.

    Attributes:
        shape: shape of one sample.
    """

    arity: ClassVar[int | None] = 0

    shape: tuple[int, ...]

    def result(self, *operands: TensorType) -> RealType:
        """A float tensor."""
        return RealType(check_size(self, self.shape))

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Inputs are given to the interpreter, never computed."""
        raise self.refuse("the interpreter was given no value for this input")


@operation
class Constant(Op):
    """Integer codes known in advance, the same for every sample.

    Attributes:
        weight: (*sample shape) codes; binary points per first axis.
    """

    arity: ClassVar[int | None] = 0

    weight: Weight

    def result(self, *operands: TensorType) -> FixedType:
        """Exactly the values that are there, channel by channel."""
        codes = self.weight.codes
        by_channel = codes.reshape(codes.shape[0], -1)
        low, high = by_channel.min(axis=1), by_channel.max(axis=1)
        return FixedType(
            codes.shape, self.weight.frac_bits, low.astype(object), high.astype(object)
        )

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """(1, *sample shape) codes, which broadcast over the batch."""
        return np.asarray(self.weight.codes[np.newaxis])
