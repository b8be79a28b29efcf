"""The first half of a cast of arrays: floats, or integers on a finer grid, to whole codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .modes import RoundingMode, forgotten

_SIGN = 1 << 20
"""Shifted right by so many, Python's integers are 0 or -1."""


def round_to_integer(r: NDArray[np.float64], rounding: RoundingMode | str) -> NDArray[np.float64]:
    """First half of a cast: whole numbers by one of the seven rounding modes.

    Args:
        r: (...) finite float64 values in units of the LSB.
        rounding: what happens to the fraction.

    Returns:
        (...) whole numbers as float64; exact, since a float64 with a fraction is below 2**52.

    >>> import numpy as np
    >>> round_to_integer(np.array([-1.5, -0.5, 0.5, 1.5]), "AP_RND_CONV").tolist()
    [-2.0, -0.0, 0.0, 2.0]
    """
    rounding = RoundingMode.parse(rounding)
    r = np.asarray(r, dtype=np.float64)
    match rounding:
        case RoundingMode.AP_TRN:
            return np.asarray(np.floor(r))
        case RoundingMode.AP_TRN_ZERO:
            return np.asarray(np.trunc(r))
        case RoundingMode.AP_RND_CONV:
            return np.asarray(np.rint(r))
        case RoundingMode.AP_RND:
            return np.copysign(_half_up(r), r)
        case RoundingMode.AP_RND_MIN_INF:
            return np.copysign(_half_down(r), r)
        case RoundingMode.AP_RND_INF:
            return np.copysign(_half_up(np.abs(r)), r)
        case RoundingMode.AP_RND_ZERO:
            return np.copysign(_half_down(np.abs(r)), r)
        case _:
            forgotten(rounding)


def shift_right(codes: NDArray[Any], drop: NDArray[Any], rounding: RoundingMode) -> NDArray[Any]:
    """`codes / 2**drop`, rounded to whole numbers, for `drop >= 0`: an addition and a shift.

    Added is one half, or one LSB less, by the mode, the sign and the last bit that stays.
    """
    if not drop.any():
        return codes
    one = np.minimum(drop, 1)  # nothing is added where nothing is dropped
    half, all_bits = (one << drop) >> 1, 63 if codes.dtype == np.int64 else _SIGN
    match rounding:
        case RoundingMode.AP_TRN:
            return np.asarray(codes >> drop)
        case RoundingMode.AP_TRN_ZERO:
            more = codes >> all_bits & (one << drop) - one
        case RoundingMode.AP_RND:
            more = half
        case RoundingMode.AP_RND_MIN_INF:
            more = half - one
        case RoundingMode.AP_RND_INF:
            more = half + (codes >> all_bits & -one)
        case RoundingMode.AP_RND_ZERO:
            more = half - one - (codes >> all_bits & -one)
        case RoundingMode.AP_RND_CONV:
            more = half - one + (codes >> drop & one)
        case _:
            forgotten(rounding)
    return np.asarray((codes + more) >> drop)


def _half_up(r: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest whole number; of two, the one above. Both differences are exact, or clear."""
    whole = np.floor(r)
    whole += r - whole >= 0.5
    return np.asarray(whole)


def _half_down(r: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest whole number; of two, the one below."""
    whole = np.ceil(r)
    whole -= whole - r >= 0.5
    return np.asarray(whole)
