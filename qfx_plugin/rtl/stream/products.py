"""Products of two streams of matrices: in which order their rows come, and how often they meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ...ir import Constant, FixedType, MatMul, TensorType, Weight
from ...ir.ops.base import align
from .moves import pixel_of, two


@dataclass(frozen=True, eq=False)
class StreamProduct:
    """Two streams of matrices that are multiplied; see `sv/product/qfx_matmul.sv`.

    Attributes:
        kind: type of one position of the result.
        inner: length of the axis that is summed over: channels of both streams.
        group: rows of the first stream that meet as many of the second.
        columns: groups of the second that meet a group of the first.
        rows: groups of the first that meet the same groups of the second.
        frames: how often all that happens for a sample.
    """

    kind: FixedType
    inner: int
    group: int
    columns: int
    rows: int
    frames: int

    @classmethod
    def of(cls, op: MatMul, types: Mapping[str, TensorType]) -> StreamProduct:
        """Of a result whose first axis is its channels.

        Where that is the rows, the second operand is the first stream.

        Args:
            op: the operation.
            types: of its operands and its result.
        """
        left, right = (types[name].shape for name in op.inputs)
        kind = op.fixed(types[op.output])
        if len(left) == 2:
            return cls(pixel_of(kind), left[1], 1, left[0], right[1], 1)
        first, *others = kind.shape[:-2]
        return cls(pixel_of(kind), left[-1], first, right[-1], left[-2], prod(others))

    @property
    def sums(self) -> int:
        """Sums of a sample."""
        return self.frames * self.rows * self.columns * self.group


def streamed(seen: NDArray[np.int64], second: bool, outer: tuple[int, ...]) -> NDArray[np.int64]:
    """Elements of an operand as its stream has them: (inner, first axes but one, rows, group).

    Args:
        seen: as the operand has them.
        second: whether it is the second operand.
        outer: first axes of the result.
    """
    matrix = seen.swapaxes(-1, -2) if second else seen
    wide = np.broadcast_to(matrix, (*outer, *matrix.shape[-2:]))
    return np.moveaxis(wide, (-1, 0), (0, -1)) if outer else wide.T


def streamed_constant(constant: Constant, second: bool, outer: tuple[int, ...]) -> Constant:
    """An operand that is known, as (inner, rows, columns) on one binary point."""
    kind = constant.result()
    finest = kind.frac_bits.max(keepdims=True)
    codes = streamed(align(constant.weight.codes, kind, finest), second, outer)
    shaped = codes.reshape(codes.shape[0], *two(codes.shape[1:]))
    width = int(np.abs(codes).max()).bit_length() + 1
    return replace(constant, weight=Weight(shaped, finest, width))
