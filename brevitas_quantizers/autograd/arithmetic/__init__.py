"""Differentiable fixed-point arithmetic with the result formats of `ap_fixed` expressions.

For layers of one's own: `fixed_point` casts, operators keep every bit, `FixedPointTensor.cast`
narrows; see `docs/arithmetic.md`.
"""

from .compare import eq, ge, gt, le, lt, ne
from .elementwise import (
    absolute,
    add,
    div,
    maximum,
    minimum,
    move_point,
    mul,
    neg,
    relu,
    shift,
    sub,
)
from .formats import (
    abs_format,
    add_format,
    div_format,
    dot_format,
    move_format,
    mul_format,
    neg_format,
    relu_format,
    sub_format,
    sum_format,
    union_format,
)
from .reduce import accumulate, matmul, sum
from .tensor import FixedPointTensor, fixed_point

__all__ = [
    "FixedPointTensor",
    "abs_format",
    "absolute",
    "accumulate",
    "add",
    "add_format",
    "div",
    "div_format",
    "dot_format",
    "eq",
    "fixed_point",
    "ge",
    "gt",
    "le",
    "lt",
    "matmul",
    "maximum",
    "minimum",
    "move_format",
    "move_point",
    "mul",
    "mul_format",
    "ne",
    "neg",
    "neg_format",
    "relu",
    "relu_format",
    "shift",
    "sub",
    "sub_format",
    "sum",
    "sum_format",
    "union_format",
]
