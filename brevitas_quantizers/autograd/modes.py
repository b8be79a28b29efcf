"""Rounding, overflow and range of `fixed_point.modes`, as torch operations on codes.

`r` is a value in LSB units (`x * 2**frac_bits`), a *code* is an integer stored in a float tensor.
Every step is exact: sums and products here never leave the float's mantissa, which
`check_float_holds_codes` guarantees. The NumPy twins are in `fixed_point.quantize`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from brevitas_quantizers.fixed_point import (
    FormatError,
    OverflowMode,
    RoundingMode,
    code_range,
    forgotten,
)

_MANTISSA_BITS = {torch.float32: 24, torch.float64: 53}
_INTEGER_TWIN = {torch.float32: (torch.int32, 23, 127), torch.float64: (torch.int64, 52, 1023)}

Bound = int | Tensor
"""A code bound: a plain integer, or a tensor where the word length is learned."""


def exact_exp2(exponent: Tensor) -> Tensor:
    """`2**exponent` for integer-valued `exponent`, exact on every device.

    `torch.exp2` is a polynomial on some back ends and may be off by one ULP; this one writes the
    exponent field of the IEEE 754 number.

    Args:
        exponent: any shape, float, integer-valued, within the normal range of its dtype.
    """
    integer, mantissa_bits, bias = _INTEGER_TWIN[exponent.dtype]
    return ((exponent.to(integer) + bias) << mantissa_bits).view(exponent.dtype)


def needs_float64(dtype: torch.dtype, width: int, signed: bool) -> bool:
    """Whether float32 cannot hold each code of a word length, and float64 can."""
    return dtype == torch.float32 and width - int(signed) > _MANTISSA_BITS[dtype]


def check_float_holds_codes(dtype: torch.dtype, width: int, signed: bool) -> None:
    """Refuse a word length whose codes `dtype` cannot hold one by one.

    Raises:
        FormatError: names the dtype, the word length and the remedy.
    """
    limit = _MANTISSA_BITS.get(dtype)
    if limit is None:
        raise FormatError(f"fixed-point casts run in float32 or float64, not {dtype}")
    if width - int(signed) > limit:
        raise FormatError(
            f"a width of {width} bits does not fit the {limit}-bit mantissa of {dtype}: "
            "call .double() on the model and its inputs"
        )


def round_codes_(r: Tensor, mode: RoundingMode) -> Tensor:
    """Round to the integer that `mode` says, in place where that saves a pass over memory."""
    match mode:
        case RoundingMode.AP_RND_CONV:
            return r.round_()
        case RoundingMode.AP_TRN:
            return r.floor_()
        case RoundingMode.AP_TRN_ZERO:
            return r.trunc_()
        case RoundingMode.AP_RND:
            return _half_up(r)
        case RoundingMode.AP_RND_MIN_INF:
            return _half_up(r.neg_()).neg_()
        case RoundingMode.AP_RND_INF:
            return torch.copysign(_half_up(r.abs()), r)
        case RoundingMode.AP_RND_ZERO:
            return torch.copysign(_half_up(r.abs().neg_()), r)
        case _:
            forgotten(mode)


def _half_up(r: Tensor) -> Tensor:
    """Nearest integer, ties toward plus infinity; `floor(r + 0.5)` would err at 0.49999997.

    `r - floor(r)` is exact except for `r` in (-0.5, 0), where it may round but stays >= 0.5.
    """
    below = torch.floor(r)
    return (r - below).ge_(0.5).add_(below)  # 0 or 1 without booleans, which are slow


def code_bounds(width: Bound, signed: bool, overflow: OverflowMode) -> tuple[Bound, Bound]:
    """Smallest and largest code after the cast."""
    if isinstance(width, int):
        return code_range(width, signed, overflow)
    half = exact_exp2(width - int(signed))
    narrow = int(overflow is OverflowMode.AP_SAT_SYM)
    return (narrow - half if signed else 0), half - 1


def cast_codes_(
    r: Tensor, rounding: RoundingMode, lo: Bound, hi: Bound, signed: bool, overflow: OverflowMode
) -> Tensor:
    """Codes in `[lo, hi]` of values in LSB units.

    Args:
        r: any shape; overwritten.
        rounding: mode.
        lo: smallest code.
        hi: largest code.
        signed: two's complement if true.
        overflow: mode.
    """
    truncated = torch.floor(r) if overflow is OverflowMode.AP_WRAP_SM and signed else None
    code = round_codes_(r, rounding)
    if overflow is OverflowMode.AP_SAT_ZERO:
        return code.masked_fill_((code < lo) | (code > hi), 0.0)
    if not is_wrapping(signed, overflow):  # all that is left saturates
        if isinstance(hi, Tensor):  # together with a number it would be read as one
            return code.clamp_(min=lo).clamp_(max=hi)
        return code.clamp_(lo, hi)  # type: ignore[arg-type] # `lo` is a number where `hi` is
    # A float beyond 2**(mantissa + width) is a multiple of the period: its code is zero, and so
    # is that of an `r` which overflowed to infinity.
    code = code.masked_fill_(~torch.isfinite(code), 0.0)
    word = _wrap(code, lo, hi)
    return word if truncated is None else _mirror(word, code, truncated, lo, hi)


def _mirror(word: Tensor, code: Tensor, truncated: Tensor, lo: Bound, hi: Bound) -> Tensor:
    """`AP_WRAP_SM`: the lowest lost bit, taken before rounding, becomes the sign of the result;
    where that changes it, the magnitude is mirrored (`ap_fixed_base.h`, `overflow_adjust`)."""
    truncated = truncated.masked_fill_(~torch.isfinite(truncated), 0.0)
    negative = torch.remainder(torch.floor(truncated / (hi + 1 - lo)), 2)
    mirrored = torch.remainder(-1 - word, hi + 1) - negative * (hi + 1)
    keep = ((word < 0) == (negative == 1)) | ((code >= lo) & (code <= hi))
    return torch.where(keep, word, mirrored)


def _wrap(code: Tensor, lo: Bound, hi: Bound) -> Tensor:
    """`fmod` and not `remainder`: of -1 and a period of one bit above the mantissa, that rounds."""
    period = hi + 1 - lo
    code = torch.fmod(code, period)
    return code + period * ((code < lo).to(code.dtype) - (code > hi).to(code.dtype))


def is_wrapping(signed: bool, overflow: OverflowMode) -> bool:
    """Whether out-of-range codes wrap. Unsigned `AP_WRAP_SM` saturates in the `ap_fixed` header."""
    return overflow.wraps and (signed or overflow is not OverflowMode.AP_WRAP_SM)


@dataclass(frozen=True)
class RangeLimits:
    """The values `r` whose rounded code lies in the range: an interval, its ends open or closed.

    Comparing with the ends costs less than rounding again, and every path shares them.
    """

    lower: Bound | float
    upper: Bound | float
    lower_closed: bool
    upper_closed: bool

    def contains(self, r: Tensor) -> Tensor:
        """Mask of the values inside."""
        above = r >= self.lower if self.lower_closed else r > self.lower
        below = r <= self.upper if self.upper_closed else r < self.upper
        return above & below


def range_limits(
    lo: Bound, hi: Bound, signed: bool, rounding: RoundingMode, overflow: OverflowMode
) -> RangeLimits | None:
    """Where codes need no overflow handling; `None` where they wrap, so that all values count."""
    if is_wrapping(signed, overflow):
        return None
    match rounding:  # a tie under `lo` goes up to it, one over `hi` down to it: closed ends
        case RoundingMode.AP_TRN:
            return RangeLimits(lo, hi + 1, True, False)
        case RoundingMode.AP_TRN_ZERO:
            return RangeLimits(lo - 1, hi + 1, False, False)
        case RoundingMode.AP_RND:
            ties = True, False
        case RoundingMode.AP_RND_MIN_INF:
            ties = False, True
        case RoundingMode.AP_RND_ZERO:
            ties = True, True
        case RoundingMode.AP_RND_INF:
            ties = False, False
        case RoundingMode.AP_RND_CONV:  # hi = 2**n - 1 is odd, so its tie goes to 2**n
            ties = not (signed and overflow is OverflowMode.AP_SAT_SYM), False
        case _:
            forgotten(rounding)
    return RangeLimits(lo - 0.5, hi + 0.5, *ties)
