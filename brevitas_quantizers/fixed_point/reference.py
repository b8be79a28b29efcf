"""The cast, written for reading: one value at a time, in exact rational numbers.

This module is the definition that people read; `quantize.py` is the one that runs on arrays. They
share no arithmetic. Both are held to the compiled `ap_fixed` header by `tests/fixed_point`.
"""

from __future__ import annotations

import math
from fractions import Fraction

from .errors import DataError
from .format import FixedPointFormat
from .modes import OverflowMode, RoundingMode, forgotten

_HALF = Fraction(1, 2)


def cast_code(
    value: Fraction | float | int,
    fmt: FixedPointFormat,
    rounding: RoundingMode | str = RoundingMode.AP_RND_CONV,
    overflow: OverflowMode | str = OverflowMode.AP_SAT,
) -> int:
    """Integer code of `value` cast to `fmt`; formats of any width.

    Args:
        value: a rational number; a float counts as the binary fraction that it is.
        fmt: target format.
        rounding: what happens below the LSB.
        overflow: what happens outside the range, after rounding.

    Raises:
        DataError: NaN or infinity.

    >>> cast_code(Fraction(5, 8), FixedPointFormat(4, 2), "AP_RND", "AP_SAT")
    3
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"value must be finite, not {value}")
    r = Fraction(value) * Fraction(2) ** fmt.frac_bits
    code = round_code(r, RoundingMode.parse(rounding))
    return overflow_code(code, fmt, OverflowMode.parse(overflow), math.floor(r))


def round_code(r: Fraction, rounding: RoundingMode) -> int:
    """Whole number for `r`, a value in units of the LSB."""
    down, up = math.floor(r), math.ceil(r)
    toward_zero, away = (down, up) if r >= 0 else (up, down)
    nearest = down if r - down < _HALF else up if r - down > _HALF else None
    match rounding:
        case RoundingMode.AP_TRN:
            return down
        case RoundingMode.AP_TRN_ZERO:
            return toward_zero
        case RoundingMode.AP_RND:
            tie = up
        case RoundingMode.AP_RND_MIN_INF:
            tie = down
        case RoundingMode.AP_RND_ZERO:
            tie = toward_zero
        case RoundingMode.AP_RND_INF:
            tie = away
        case RoundingMode.AP_RND_CONV:
            tie = down if down % 2 == 0 else up
        case _:
            forgotten(rounding)
    return tie if nearest is None else nearest


def overflow_code(code: int, fmt: FixedPointFormat, overflow: OverflowMode, floor: int) -> int:
    """Code within `fmt` for a rounded `code`; `floor` is the code before rounding, truncated."""
    low, high = fmt.min_code, fmt.max_code
    if overflow is OverflowMode.AP_SAT_SYM and low < -1:
        low = -high
    if low <= code <= high:
        return code
    match overflow:
        case OverflowMode.AP_SAT_ZERO:
            return 0
        case OverflowMode.AP_WRAP:
            return _wrap(code, fmt)
        case OverflowMode.AP_WRAP_SM if fmt.signed:
            return _wrap_sign_magnitude(code, fmt, floor)
        case OverflowMode.AP_SAT | OverflowMode.AP_SAT_SYM | OverflowMode.AP_WRAP_SM:
            return high if code > high else low
        case _:
            forgotten(overflow)


def _wrap(code: int, fmt: FixedPointFormat) -> int:
    """The one code of the format that differs from `code` by a multiple of `2**width`."""
    return (code - fmt.min_code) % (1 << fmt.width) + fmt.min_code


def _wrap_sign_magnitude(code: int, fmt: FixedPointFormat, floor: int) -> int:
    """The sign is the lowest lost bit of the truncated value; a change of sign mirrors the code."""
    word = _wrap(code, fmt)
    negative = (floor >> fmt.width) % 2 == 1
    return word if (word < 0) == negative else -word - 1
