"""Comparisons: exact, also of different binary points and signs; plain boolean results."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .elementwise import check_operands

if TYPE_CHECKING:
    from .tensor import FixedPointTensor

Number = int | float


def lt(a: FixedPointTensor, b: FixedPointTensor | Number) -> Tensor:
    """`a < b`."""
    return _compare("lt", torch.lt, a, b)


def le(a: FixedPointTensor, b: FixedPointTensor | Number) -> Tensor:
    """`a <= b`."""
    return _compare("le", torch.le, a, b)


def gt(a: FixedPointTensor, b: FixedPointTensor | Number) -> Tensor:
    """`a > b`."""
    return _compare("gt", torch.gt, a, b)


def ge(a: FixedPointTensor, b: FixedPointTensor | Number) -> Tensor:
    """`a >= b`."""
    return _compare("ge", torch.ge, a, b)


def eq(a: FixedPointTensor, b: FixedPointTensor | Number) -> Tensor:
    """`a == b`."""
    return _compare("eq", torch.eq, a, b)


def ne(a: FixedPointTensor, b: FixedPointTensor | Number) -> Tensor:
    """`a != b`."""
    return _compare("ne", torch.ne, a, b)


def _compare(
    who: str,
    relation: Callable[[Tensor, Tensor], Tensor],
    a: FixedPointTensor,
    b: FixedPointTensor | Number,
) -> Tensor:
    """Numbers are compared as float64: in float32, 0.1 would be another number."""
    if isinstance(b, (int, float)):
        check_operands(who, a)
        left = a.values.double()
        return relation(left, torch.tensor(b, dtype=torch.float64, device=left.device))
    check_operands(who, a, b)
    return relation(a.values, b.values)
