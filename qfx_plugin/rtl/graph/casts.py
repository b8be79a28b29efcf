"""The cast on symbolic numbers: seven rounding and five overflow modes from a few primitives.

A symbol is one number inside the adder-graph compiler's tracer: it has a range (`low`, `high`), a
power of two `step` of which it is a multiple, and `kif`, the sign bit, integer and fraction bits
that hold it. The primitives used here are additions of constants and of single bits, cutting bits
off (`quantize` with WRAP and TRN), and choosing by a sign (`msb_mux`). Nothing relies on the
compiler's own rounding and saturation, so that each mode means what `ap_fixed` means.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
    cast_code,
    code_range,
    forgotten,
)

LONGEST_OFFSET = 24
"""Bits that a number may lose before it is shortened: the compiler adds constants of 31 bits."""

Symbol: TypeAlias = Any
"""A number of the tracer; its library has no public type for it that we could import here."""


def is_constant(x: Symbol) -> bool:
    """Whether the tracer knows the value."""
    return bool(x.low == x.high)


def cast(
    x: Symbol, fmt: FixedPointFormat, rounding: RoundingMode, overflow: OverflowMode
) -> Symbol:
    """`x` in the format, as `ap_fixed` converts it: first rounded, then brought into range."""
    rounding, overflow = RoundingMode(rounding), OverflowMode(overflow)
    if is_constant(x):
        code = cast_code(Fraction(x.low), fmt, rounding, overflow)
        return x.from_const(float(code * _lsb(fmt)), hwconf=x.hwconf)
    return bring_into_range(round_to(x, fmt.frac_bits, rounding), x, fmt, overflow)


def round_to(x: Symbol, frac_bits: int, rounding: RoundingMode) -> Symbol:
    """`x` rounded to a multiple of `2**-frac_bits`; the range grows by up to one LSB.

    All modes are `floor(x + offset)`, where the offset is a constant plus single bits of `x`: its
    sign, or for `AP_RND_CONV` its bit at the place of the result's LSB.
    """
    lsb = 2.0**-frac_bits
    if float(x.step) >= lsb:
        return x
    x = _shortened(x, frac_bits)
    half, step = lsb / 2, float(x.step)
    match rounding:
        case RoundingMode.AP_TRN:
            offset = x
        case RoundingMode.AP_TRN_ZERO:
            offset = x + _all_ones_if_negative(x, frac_bits)
        case RoundingMode.AP_RND:
            offset = x + half
        case RoundingMode.AP_RND_ZERO:
            offset = x + (half - step) + x.is_negative() * step
        case RoundingMode.AP_RND_INF:
            offset = x + half + x.is_negative() * -step
        case RoundingMode.AP_RND_MIN_INF:
            offset = x + (half - step)
        case RoundingMode.AP_RND_CONV:
            offset = x + (half - step) + _bit(x, -frac_bits) * step
        case _:
            forgotten(rounding)
    return _floor(offset, frac_bits)


def bring_into_range(
    rounded: Symbol, x: Symbol, fmt: FixedPointFormat, overflow: OverflowMode
) -> Symbol:
    """`rounded` in the range of the format.

    Args:
        rounded: a multiple of the format's LSB.
        x: the number before rounding, whose lost bits decide the sign in `AP_WRAP_SM`.
        fmt: the format.
        overflow: what happens outside its range.
    """
    lowest, highest = code_range(fmt.width, fmt.signed, overflow)
    low, high = float(lowest * _lsb(fmt)), float(highest * _lsb(fmt))
    if low <= rounded.low and rounded.high <= high:
        return rounded
    match overflow:
        case OverflowMode.AP_WRAP:
            return _wrap(rounded, fmt)
        case OverflowMode.AP_SAT_ZERO:
            return _outside(rounded, low, high).msb_mux(0.0, _wrap(rounded, fmt))
        case OverflowMode.AP_WRAP_SM if fmt.signed:
            return _wrap_sign_magnitude(rounded, x, fmt, _outside(rounded, low, high))
        case OverflowMode.AP_SAT | OverflowMode.AP_SAT_SYM | OverflowMode.AP_WRAP_SM:
            if rounded.low < low:
                rounded = rounded.max_of(low)
            return _at_most(rounded, high, fmt) if rounded.high > high else rounded
        case _:
            forgotten(overflow)


def _at_most(x: Symbol, high: float, fmt: FixedPointFormat) -> Symbol:
    """The smaller of `x` and `high`.

    If `x` is not negative and `high` is all ones, what lies above them is one OR, and each bit of
    the result another: no comparison.
    """
    magnitude_bits = fmt.width - fmt.signed
    if x.low < 0 or high != float((2**magnitude_bits - 1) * _lsb(fmt)):
        return x.min_of(high)
    top = magnitude_bits - fmt.frac_bits
    above = x.quantize(0, int(x.kif[1]), -top).unary_bit_op("any")
    below = x.quantize(0, top, min(int(x.kif[2]), fmt.frac_bits))
    return above.msb_mux(high, below)


def _shortened(x: Symbol, frac_bits: int) -> Symbol:
    """`x`, or if it loses many bits, a shorter number that every mode rounds to the same.

    Kept are the half and one bit for whether anything lies below it: the offsets stay short.
    """
    if round(-_log2(float(x.step))) - frac_bits <= LONGEST_OFFSET:
        return x
    low_bits = _bits(x, 0, -frac_bits - 1, round(-_log2(float(x.step))))
    if is_constant(low_bits) and not low_bits.low:
        return _floor(x, frac_bits + 1)
    anything = (-low_bits).is_negative()
    return _floor(x, frac_bits + 1) + anything * 2.0 ** -(frac_bits + 2)


def _wrap_sign_magnitude(
    rounded: Symbol, x: Symbol, fmt: FixedPointFormat, outside: Symbol
) -> Symbol:
    """Outside the range, the sign is the lowest lost bit of the truncated value."""
    word = _wrap(rounded, fmt)
    wrong_sign = word.is_negative() ^ _bit(x, fmt.width - fmt.frac_bits)
    mirrored = -word + float(-_lsb(fmt))
    return (outside & wrong_sign).msb_mux(mirrored, word)


def _outside(x: Symbol, low: float, high: float) -> Symbol:
    """1 where `x` leaves `[low, high]`, else 0."""
    below, above = (x + -low).is_negative(), (-x + high).is_negative()
    for one, other in ((below, above), (above, below)):
        if is_constant(one):  # on this side never, or always
            return one if one.low else other
    return below | above


def _wrap(x: Symbol, fmt: FixedPointFormat) -> Symbol:
    return _bits(x, int(fmt.signed), fmt.width - fmt.signed - fmt.frac_bits, fmt.frac_bits)


def _floor(x: Symbol, frac_bits: int) -> Symbol:
    sign, integers, _ = x.kif
    return _bits(x, int(sign), max(int(integers), -frac_bits), frac_bits)


def _bits(x: Symbol, sign: int, integers: int, fraction: int) -> Symbol:
    """The bits of weights `2**(integers - 1)` to `2**-fraction`, with a sign bit above or without.

    The compiler's own `quantize` is right on wires; on constants that wrap it is not.
    """
    if not is_constant(x):
        return x.quantize(sign, integers, fraction)
    value, width = Fraction(0), sign + integers + fraction
    if width > 0:
        fmt = FixedPointFormat.from_frac_bits(width, fraction, bool(sign))
        code = cast_code(Fraction(x.low), fmt, RoundingMode.AP_TRN, OverflowMode.AP_WRAP)
        value = code * _lsb(fmt)
    return x.from_const(float(value), hwconf=x.hwconf)


def _bit(x: Symbol, place: int) -> Symbol:
    """The bit of weight `2**place` of `x` in two's complement, as 0 or 1."""
    bit = _bits(x, 0, place + 1, -place)
    return bit * 2.0**-place


def _all_ones_if_negative(x: Symbol, frac_bits: int) -> Symbol:
    """`2**-frac_bits - step` where `x` is negative, else 0: its sign, repeated below the LSB."""
    negative = x.is_negative()
    if is_constant(negative):
        return negative * (2.0**-frac_bits - float(x.step))
    places = round(-frac_bits - _log2(float(x.step)))
    return _bits(negative * float(-x.step), 0, -frac_bits, frac_bits + places)


def _log2(power: float) -> int:
    return Fraction(power).numerator.bit_length() - Fraction(power).denominator.bit_length()


def _lsb(fmt: FixedPointFormat) -> Fraction:
    return Fraction(2) ** -fmt.frac_bits
