"""The cast, written for reading: one value at a time, in exact rational numbers.

This module is the definition that people read; `quantize.py` is the one that runs on arrays. They
share no arithmetic. Both are held to the compiled `ap_fixed` header by `tests/fixed_point`.
"""

from __future__ import annotations

import math
from fractions import Fraction

from .errors import DataError
from .format import FixedPointFormat
from .modes import OverflowMode, RoundingMode

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
    if rounding is RoundingMode.AP_TRN:
        return down
    if rounding is RoundingMode.AP_TRN_ZERO:
        return toward_zero
    if r - down != _HALF:
        return down if r - down < _HALF else up
    ties = {
        RoundingMode.AP_RND: up,
        RoundingMode.AP_RND_MIN_INF: down,
        RoundingMode.AP_RND_ZERO: toward_zero,
        RoundingMode.AP_RND_INF: away,
        RoundingMode.AP_RND_CONV: down if down % 2 == 0 else up,
    }
    return ties[rounding]


def overflow_code(code: int, fmt: FixedPointFormat, overflow: OverflowMode, floor: int) -> int:
    """Code within `fmt` for a rounded `code`; `floor` is the code before rounding, truncated."""
    low, high = fmt.min_code, fmt.max_code
    if overflow is OverflowMode.AP_SAT_SYM and low < -1:
        low = -high
    if low <= code <= high:
        return code
    if overflow is OverflowMode.AP_SAT_ZERO:
        return 0
    if overflow is OverflowMode.AP_WRAP:
        return _wrap(code, fmt)
    if overflow is OverflowMode.AP_WRAP_SM and fmt.signed:
        return _wrap_sign_magnitude(code, fmt, floor)
    return high if code > high else low  # AP_SAT, AP_SAT_SYM; unsigned AP_WRAP_SM as well


def _wrap(code: int, fmt: FixedPointFormat) -> int:
    """The one code of the format that differs from `code` by a multiple of `2**width`."""
    return (code - fmt.min_code) % (1 << fmt.width) + fmt.min_code


def _wrap_sign_magnitude(code: int, fmt: FixedPointFormat, floor: int) -> int:
    """The sign is the lowest lost bit of the truncated value; a change of sign mirrors the code."""
    word = _wrap(code, fmt)
    negative = (floor >> fmt.width) % 2 == 1
    return word if (word < 0) == negative else -word - 1
