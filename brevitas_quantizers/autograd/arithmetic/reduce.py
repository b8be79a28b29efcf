"""Sums and products of matrices: full precision, in the narrowest format that holds every result.

Every partial sum, in whatever order the library adds, is a value of the result's format too, so
that float arithmetic is exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from brevitas_quantizers.fixed_point import DataError

from .elementwise import check_operands, result
from .formats import dot_format, sum_format
from .limits import check_exact

if TYPE_CHECKING:
    from .tensor import FixedPointTensor


def sum(
    a: FixedPointTensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False
) -> FixedPointTensor:
    """Sum over dimensions.

    Args:
        a: any shape.
        dim: dimensions to sum over; all of them if None.
        keepdim: keep them with size 1.
    """
    check_operands("sum", a)
    axes = tuple(range(a.ndim)) if dim is None else (dim,) if isinstance(dim, int) else dim
    terms = max(1, math.prod(a.shape[axis] for axis in axes))
    fmt = sum_format(a.format, terms)
    check_exact(f"sum of {terms} {a.format}", fmt, a.dtype)
    values = a.values.sum(axes, keepdim=keepdim) if axes else a.values
    return result(a, values, fmt)


def accumulate(a: FixedPointTensor, dim: int) -> FixedPointTensor:
    """Running sums along a dimension; all of them have the format of the last.

    Args:
        a: any shape.
        dim: dimension to add up along.
    """
    check_operands("accumulate", a)
    terms = max(1, a.shape[dim])
    fmt = sum_format(a.format, terms)
    check_exact(f"sum of {terms} {a.format}", fmt, a.dtype)
    return result(a, a.values.cumsum(dim), fmt)


def matmul(a: FixedPointTensor, b: FixedPointTensor) -> FixedPointTensor:
    """`a @ b`: the accumulator at full precision, from the formats and the number of terms.

    Args:
        a: (..., rows, terms), or (terms,).
        b: (..., terms, columns), or (terms,).

    Raises:
        DataError: the shapes do not match.
        FormatError: the dtype cannot hold every partial sum.
    """
    check_operands("matmul", a, b)
    terms = a.shape[-1] if a.ndim else 0
    if terms < 1 or b.ndim == 0 or b.shape[-2 if b.ndim > 1 else -1] != terms:
        raise DataError(
            f"matmul: shapes must be (..., rows, terms) and (..., terms, columns), "
            f"not {tuple(a.shape)} and {tuple(b.shape)}"
        )
    fmt = dot_format(a.format, b.format, terms)
    dtype = torch.promote_types(a.dtype, b.dtype)
    check_exact(f"sum of {terms} {a.format} * {b.format}", fmt, dtype)
    return result(a, _full_precision_matmul(a.values.to(dtype), b.values.to(dtype)), fmt)


def _full_precision_matmul(a: Tensor, b: Tensor) -> Tensor:
    """In the operands' own dtype whatever autocast says, and never in TF32 or BF16."""
    with torch.autocast(a.device.type, enabled=False):
        if _float32_is_exact():
            return a @ b
        return (a.double() @ b.double()).to(a.dtype)


@torch.compiler.assume_constant_result
def _float32_is_exact() -> bool:
    """Whether no setting allows shorter mantissas in a float32 product."""
    backends = torch.backends
    settings = (backends, backends.cuda.matmul, backends.mkldnn.matmul)
    return all(setting.fp32_precision in ("ieee", "none") for setting in settings)
