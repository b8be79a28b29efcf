"""The product of two matrices that both come from the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..exact import matmul
from ..types import BigInts, FixedType, TensorType
from .base import Op, align, check_size, operation


@operation
class MatMul(Op):
    """Exact products of the matrices on the last two axes: (..., n, k) and (..., k, m)."""

    arity: ClassVar[int | None] = 2

    def result(self, *operands: TensorType) -> FixedType:
        """(..., n, m) sums of k products each, for each first axis that the operands have."""
        left, right = (self.fixed(operand, index) for index, operand in enumerate(operands))
        shape, inner = self._shape(left, right), left.shape[-1]
        if len(shape) > 2:
            a, b = (left.low, left.high), (right.low, right.high)
            low, high, most = (inner * bound for bound in _extremes(a, b))
            return FixedType(shape, left.frac_bits + right.frac_bits, low, high, int(most.max()))
        # The first axis of the left one is that of the result, of the right one the inner axis.
        finest = right.frac_bits.max()
        rows = [edge[:, np.newaxis] for edge in (left.low, left.high)]
        columns = [np.broadcast_to(edge, (inner,)) for edge in right.aligned(finest)]
        low, high, most = (bound.sum(axis=1) for bound in _extremes(rows, columns))
        return FixedType(shape, left.frac_bits + finest, low, high, int(most.max()))

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """The inner axis on one binary point, then one exact matrix product each."""
        (left, right), kind = operands, self.fixed(types[1], 1)
        if len(kind.shape) == 2:
            right = align(right, kind, kind.frac_bits.max(keepdims=True))
        return matmul(left, right, self.fixed(result).peak)

    def _shape(self, left: FixedType, right: FixedType) -> tuple[int, ...]:
        a, b = left.shape, right.shape
        if len(a) != len(b) or len(a) < 2:
            raise self.refuse(
                "its operands must both have two dimensions or more behind the batch, and as many, "
                f"not shapes {list(a)} and {list(b)}"
            )
        if a[-1] != b[-2]:
            raise self.refuse(
                f"the last dimension of its first operand must be that before the last of its "
                f"second, not {a[-1]} and {b[-2]}"
            )
        try:
            outer = np.broadcast_shapes(a[:-2], b[:-2])
        except ValueError:
            raise self.refuse(f"shapes {list(a)} and {list(b)} do not broadcast") from None
        return check_size(self, (*outer, a[-2], b[-1]))


def _extremes(left: Sequence[BigInts], right: Sequence[BigInts]) -> list[BigInts]:
    """Smallest, largest and largest absolute product of two ranges."""
    ends = [np.asarray(a * b) for a in left for b in right]
    low, high = reduce(np.minimum, ends), reduce(np.maximum, ends)
    return [low, high, np.maximum(np.abs(low), np.abs(high))]
