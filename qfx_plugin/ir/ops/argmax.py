"""Which channel is the largest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import FixedType, TensorType
from .base import Op, align, check_size, operation


@operation
class ArgMax(Op):
    """Number of the largest channel at each position; of equal ones, that of the first."""

    def result(self, *operands: TensorType) -> FixedType:
        """One channel of whole numbers."""
        operand = self.fixed(operands[0])
        if not operand.shape:
            raise self.refuse("its operand must have at least one dimension behind the batch")
        low, high = operand.aligned(self._finest(operand))
        peak = max(int(np.abs(edge).max()) for edge in (low, high))
        ends = np.array([0], dtype=object), np.array([operand.shape[0] - 1], dtype=object)
        return FixedType(check_size(self, (1, *operand.shape[1:])), np.array([0]), *ends, peak)

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """Aligned codes, compared."""
        operand = self.fixed(types[0])
        codes = align(operands[0], operand, self._finest(operand))
        return np.asarray(np.argmax(codes, axis=1, keepdims=True), np.int64)

    @staticmethod
    def _finest(operand: FixedType) -> NDArray[np.int64]:
        return np.asarray(operand.frac_bits.max(keepdims=True))
