"""Arithmetic of two tensors, element by element, broadcasting as PyTorch does.

Results have the format of the `ap_fixed` expression and are exact, because the float dtype holds
every value of that format (`limits.check_exact`). Gradients are those of the real-valued
operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from brevitas_quantizers.autograd.cast import fixed_point_cast
from brevitas_quantizers.fixed_point import (
    DataError,
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
)

from . import formats
from .limits import check_exact

if TYPE_CHECKING:
    from .tensor import FixedPointTensor


def add(a: FixedPointTensor, b: FixedPointTensor) -> FixedPointTensor:
    """`a + b`; different binary points are aligned exactly."""
    check_operands("add", a, b)
    fmt = formats.add_format(a.format, b.format)
    check_exact(f"{a.format} + {b.format}", fmt, _dtype(a, b))
    return result(a, a.values + b.values, fmt)


def sub(a: FixedPointTensor, b: FixedPointTensor) -> FixedPointTensor:
    """`a - b`; always signed."""
    check_operands("sub", a, b)
    fmt = formats.sub_format(a.format, b.format)
    check_exact(f"{a.format} - {b.format}", fmt, _dtype(a, b))
    return result(a, a.values - b.values, fmt)


def mul(a: FixedPointTensor, b: FixedPointTensor) -> FixedPointTensor:
    """`a * b`."""
    check_operands("mul", a, b)
    fmt = formats.mul_format(a.format, b.format)
    check_exact(f"{a.format} * {b.format}", fmt, _dtype(a, b))
    return result(a, a.values * b.values, fmt)


def div(a: FixedPointTensor, b: FixedPointTensor) -> FixedPointTensor:
    """`a / b`, the quotient truncated toward zero at the LSB of the result, as `ap_fixed` does.

    The header divides two signed operands in the width of the aligned dividend, where the most
    negative code over -1 wraps to itself although the result type could hold it; so does this.

    Raises:
        DataError: a divisor is zero.
    """
    check_operands("div", a, b)
    fmt = formats.div_format(a.format, b.format)
    who = f"{a.format} / {b.format}"
    check_exact(who, fmt, _dtype(a, b))
    check_nonzero(who, b.values)
    dividend, divisor = a.codes() << max(b.format.frac_bits, 0), b.codes()
    codes = torch.div(dividend, divisor, rounding_mode="trunc")
    if a.format.signed and b.format.signed:
        over = 1 << (max(a.format.width + max(b.format.frac_bits, 0), b.format.width) - 1)
        codes = torch.where(codes == over, -codes, codes)
    real = a.values / b.values
    return result(a, straight_through(_values(codes, fmt, real.dtype), real), fmt)


def neg(a: FixedPointTensor) -> FixedPointTensor:
    """`-a`, one bit wider: the most negative code has a positive twin."""
    check_operands("neg", a)
    fmt = formats.neg_format(a.format)
    check_exact(f"-{a.format}", fmt, a.dtype)
    return result(a, -a.values, fmt)


def absolute(a: FixedPointTensor) -> FixedPointTensor:
    """`|a|`, unsigned."""
    check_operands("absolute", a)
    return result(a, a.values.abs(), formats.abs_format(a.format))


def relu(a: FixedPointTensor) -> FixedPointTensor:
    """`max(a, 0)`, unsigned."""
    check_operands("relu", a)
    return result(a, a.values.relu(), formats.relu_format(a.format))


def maximum(a: FixedPointTensor, b: FixedPointTensor) -> FixedPointTensor:
    """The larger of the two, in the narrowest format with the binary points of both."""
    check_operands("maximum", a, b)
    fmt = formats.union_format(a.format, b.format)
    check_exact(f"maximum of {a.format} and {b.format}", fmt, _dtype(a, b))
    return result(a, torch.maximum(*_promoted(a, b)), fmt)


def minimum(a: FixedPointTensor, b: FixedPointTensor) -> FixedPointTensor:
    """The smaller of the two, in the narrowest format with the binary points of both."""
    check_operands("minimum", a, b)
    fmt = formats.union_format(a.format, b.format)
    check_exact(f"minimum of {a.format} and {b.format}", fmt, _dtype(a, b))
    return result(a, torch.minimum(*_promoted(a, b)), fmt)


def move_point(a: FixedPointTensor, bits: int) -> FixedPointTensor:
    """`a * 2**bits` without loss: the codes stay, the binary point moves (`lshift<bits>()`).

    Args:
        a: any shape.
        bits: to the right if positive; negative is `rshift<-bits>()`.
    """
    check_operands("move_point", a)
    fmt = formats.move_format(a.format, bits)
    check_exact(f"{a.format} moved by {bits} bits", fmt, a.dtype)
    return result(a, a.values * 2.0**bits, fmt)


def shift(a: FixedPointTensor, bits: int) -> FixedPointTensor:
    """`a << bits` of `ap_fixed`: the format stays, bits shifted out are lost.

    To the left the lost bits are the upper ones (the value wraps), to the right the lower ones
    (it truncates toward minus infinity). `move_point` loses nothing.

    Args:
        a: any shape.
        bits: to the left if positive, to the right (`a >> -bits`) if negative.
    """
    check_operands("shift", a)
    width, point = a.format.width, a.format.frac_bits
    moved = a.values * 2.0 ** (point + max(-width, min(width, bits)))
    origin = torch.zeros((), dtype=a.dtype, device=a.device)
    kept = fixed_point_cast(
        moved, origin, width, a.format.signed, RoundingMode.AP_TRN, OverflowMode.AP_WRAP
    )
    return result(a, kept * 2.0**-point, a.format)


def result(a: FixedPointTensor, values: Tensor, fmt: FixedPointFormat) -> FixedPointTensor:
    """Wrap `values` that are codes of `fmt` by construction, in the class of the operand `a`."""
    return type(a)(values, fmt, check=False)


def straight_through(values: Tensor, real: Tensor) -> Tensor:
    """`values`, bit for bit, with the gradient of `real`."""
    return values + (real - real.detach())


def check_operands(who: str, *operands: object) -> None:
    """Refuse plain numbers and tensors: they have no format.

    Raises:
        DataError: names the operation and the type.
    """
    for operand in operands:
        if not isinstance(getattr(operand, "format", None), FixedPointFormat):
            raise DataError(
                f"{who}: operands must be FixedPointTensor, not {type(operand).__name__}; "
                "fixed_point(x, format) makes one"
            )


def check_nonzero(who: str, divisor: Tensor) -> None:
    """Refuse zeros; not under `torch.compile`, which cannot look at values.

    Raises:
        DataError: says how many.
    """
    if not torch.compiler.is_compiling() and bool((divisor == 0).any()):
        zeros = int((divisor == 0).sum())
        raise DataError(f"{who}: {zeros} of {divisor.numel()} divisors are zero")


def _values(codes: Tensor, fmt: FixedPointFormat, dtype: torch.dtype) -> Tensor:
    return codes.to(dtype) * 2.0**-fmt.frac_bits


def _dtype(a: FixedPointTensor, b: FixedPointTensor) -> torch.dtype:
    return torch.promote_types(a.dtype, b.dtype)


def _promoted(a: FixedPointTensor, b: FixedPointTensor) -> tuple[Tensor, Tensor]:
    dtype = _dtype(a, b)
    return a.values.to(dtype), b.values.to(dtype)
