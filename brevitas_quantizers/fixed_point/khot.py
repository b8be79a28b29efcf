"""K-hot codes: sums of at most K signed powers of two, so that a product is K shifts and adds.

Two alphabets of digits:

    signed   `sum_k s_k * 2**e_k` with each `s_k` in {-1, 0, +1}:   7 = 8 - 1 needs K = 2
    binary   a sign times a magnitude with at most K ones:          7 = 4 + 2 + 1 needs K = 3

The fewest signed digits of a number are those of its non-adjacent form (NAF), which also gives the
shifts. Codes stay in the format; the shifts of a signed format are 0 to width - 1, those of an
unsigned one 0 to width (255 is 256 - 1).

Legend: `m` magnitudes, uint64; `r` values in units of the LSB.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import as_int64, as_values, check_width, first_index
from .errors import DataError, FormatError, ModeError
from .format import as_int
from .modes import OverflowMode
from .quantize import code_range
from .text_enum import TextEnum

_TABLE_WIDTH = 16
"""Widest format whose codes are listed; wider ones are projected by a search over bit positions."""


class KHotDigits(TextEnum):
    """The alphabet of the digits of a K-hot code."""

    SIGNED = "signed"
    """Each power of two has a sign of its own."""
    BINARY = "binary"
    """One sign for all: sign and magnitude, at most K ones in the magnitude."""

    @classmethod
    def parse(cls, digits: KHotDigits | str) -> KHotDigits:
        """Return the member called `digits`.

        Raises:
            ModeError: no such alphabet.
        """
        try:
            return cls(digits)
        except ValueError:
            names = ", ".join(member.value for member in cls)
            raise ModeError(f"K-hot digits must be one of {names}, not {digits!r}") from None


@dataclass(frozen=True, eq=False, slots=True)
class KHotEncoding:
    """Codes as K (sign, shift) pairs, largest shift first; unused pairs are sign 0, shift 0.

    Attributes:
        signs: (..., k) int8 in {-1, 0, 1}.
        shifts: (..., k) uint8 exponents of two.
    """

    signs: NDArray[np.int8]
    shifts: NDArray[np.uint8]

    def decode(self) -> NDArray[np.int64]:
        """(...) the integer codes: the sum over k of `sign * 2**shift`."""
        terms = self.signs.astype(np.int64) << self.shifts.astype(np.int64)
        return np.asarray(terms.sum(axis=-1, dtype=np.int64))


def khot_codes(
    width: int, signed: bool, k: int, digits: KHotDigits | str = KHotDigits.SIGNED
) -> NDArray[np.int64]:
    """All K-hot codes of a format of at most 16 bits, ascending.

    Args:
        width: word length in bits, 1 to 16.
        signed: two's complement if true.
        k: most digits that are not zero, at least 1.
        digits: alphabet of the digits.

    Returns:
        (codes,) read-only; zero is always among them.

    Raises:
        FormatError: `width` or `k` is impossible.

    >>> khot_codes(4, True, 1).tolist()
    [-8, -4, -2, -1, 0, 1, 2, 4]
    """
    if not 1 <= as_int("width", width) <= _TABLE_WIDTH:
        raise FormatError(
            f"width must be 1 to {_TABLE_WIDTH} bits to list K-hot codes, not {width}"
        )
    return _table(width, bool(signed), _check_k(k), KHotDigits.parse(digits))


def is_khot(
    codes: ArrayLike, k: int, digits: KHotDigits | str = KHotDigits.SIGNED
) -> NDArray[np.bool_]:
    """Whether each code is a sum of at most `k` digits.

    Args:
        codes: (...) integer codes.
        k: most digits that are not zero, at least 1.
        digits: alphabet of the digits.

    >>> is_khot([6, 7, 11], 2).tolist()
    [True, True, False]
    """
    magnitude = _magnitude(as_int64("codes", codes))
    return np.asarray(_weight(magnitude, KHotDigits.parse(digits)) <= _check_k(k))


def count_digits(
    codes: ArrayLike, digits: KHotDigits | str = KHotDigits.SIGNED
) -> NDArray[np.int64]:
    """How many digits of each code are not zero, at the fewest.

    Args:
        codes: (...) integer codes.
        digits: alphabet of the digits.

    >>> count_digits([0, -8, 7, 11]).tolist()
    [0, 1, 2, 3]
    """
    return _weight(_magnitude(as_int64("codes", codes)), KHotDigits.parse(digits))


def project_khot(
    r: ArrayLike,
    width: int,
    signed: bool,
    k: int,
    digits: KHotDigits | str = KHotDigits.SIGNED,
) -> NDArray[np.int64]:
    """The nearest K-hot code of a format; a tie goes toward zero. Exact for every width.

    Args:
        r: (...) finite values in units of the LSB, floats or integers of any magnitude.
        width: word length in bits, 1 to 62.
        signed: two's complement if true.
        k: most digits that are not zero, at least 1.
        digits: alphabet of the digits.

    Returns:
        (...) codes within the format.

    Raises:
        DataError: NaN, infinity, or values that are no real numbers.
        FormatError: `width` or `k` is impossible.

    >>> project_khot([11.0, -11.2, 99.0], 5, True, 1).tolist()
    [8, -8, 8]
    """
    check_width(width)
    digits, k = KHotDigits.parse(digits), _check_k(k)
    values, _ = as_values("r", r)
    if width <= _TABLE_WIDTH:
        return _project_by_table(values, _table(width, bool(signed), k, digits))
    return _project_by_search(values, width, signed, k, digits)


def encode_khot(
    codes: ArrayLike, k: int, digits: KHotDigits | str = KHotDigits.SIGNED
) -> KHotEncoding:
    """K-hot codes as (sign, shift) pairs, for storage and for shift-and-add hardware.

    Args:
        codes: (...) K-hot integer codes.
        k: pairs per code, at least 1.
        digits: alphabet of the digits.

    Raises:
        DataError: a code needs more than `k` digits.

    >>> encode_khot([7, -4], 2).signs.tolist(), encode_khot([7, -4], 2).shifts.tolist()
    ([[1, -1], [-1, 0]], [[3, 0], [2, 0]])
    """
    array = as_int64("codes", codes)
    digits = KHotDigits.parse(digits)
    bad = ~is_khot(array, k, digits)
    if bad.any():
        raise DataError(
            f"codes must be sums of at most {k} {digits} digits, "
            f"not {int(array[bad][0])}{first_index(bad)}"
        )
    plus, minus = _digit_masks(_magnitude(array), digits)
    shape = (*array.shape, k)
    signs, shifts = np.zeros(shape, np.int8), np.zeros(shape, np.uint8)
    sign = np.sign(array).astype(np.int8)
    for pair in range(min(k, 64)):
        left = plus | minus
        top = _floor_log2(left)
        bit = np.where(left == 0, np.uint64(0), np.uint64(1) << top)
        signs[..., pair] = sign * np.where(plus & bit, 1, -1) * (left != 0)
        shifts[..., pair] = top
        plus, minus = plus & ~bit, minus & ~bit
    return KHotEncoding(signs, shifts)


@lru_cache(maxsize=128)
def _table(width: int, signed: bool, k: int, digits: KHotDigits) -> NDArray[np.int64]:
    low, high = code_range(width, signed, OverflowMode.AP_SAT)
    every = np.arange(low, high + 1, dtype=np.int64)
    codes = every[_weight(_magnitude(every), digits) <= k]
    codes.setflags(write=False)  # shared by all callers
    return codes


def _project_by_table(values: NDArray[Any], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    doubled = codes[:-1] + codes[1:]  # twice the midpoints; none is zero, as zero is a code
    midpoints = doubled / 2  # exact: at most 17 bits
    toward_low = np.searchsorted(midpoints, values, side="left")
    toward_high = np.searchsorted(midpoints, values, side="right")
    return np.asarray(codes[np.where(values < 0, toward_high, toward_low)])


def _project_by_search(
    values: NDArray[Any], width: int, signed: bool, k: int, digits: KHotDigits
) -> NDArray[np.int64]:
    """Search, at every bit position `i`, the two multiples of `2**i` around the magnitude.

    These suffice. For a magnitude in `[2**e, 2**(e+1)]`, both ends are K-hot, so the nearest K-hot
    number lies between them, and its leading digit is `2**e` or `2**(e+1)`. What remains is the
    same problem with one digit less, for `m mod 2**e` or its complement to `2**e`; by induction the
    digits chosen so far always make the multiple of their last power just below or just above `m`.
    """
    negative = values < 0
    low, high = code_range(width, signed, OverflowMode.AP_SAT)
    limit = np.where(negative, np.uint64(-low), np.uint64(high))
    if values.dtype == np.int64:
        whole, fraction = _magnitude(values), np.zeros(values.shape)
    else:
        size = np.minimum(np.abs(values), 2.0**62)  # beyond every limit
        fraction = size - np.floor(size)
        whole = size.astype(np.uint64)
    fraction = np.where(whole >= limit, 0.0, fraction)
    whole = np.minimum(whole, limit)

    below = np.zeros(values.shape, np.uint64)
    above = np.full(values.shape, np.uint64(1) << np.uint64(63))
    for position in range(width + 1):
        step = np.uint64(1) << np.uint64(position)
        down = whole & ~(step - np.uint64(1))
        below = np.where(_weight(down, digits) <= k, np.maximum(below, down), below)
        up = down + step
        above = np.where(_weight(up, digits) <= k, np.minimum(above, up), above)
    # nearer to `above` if 2 * (whole + fraction) > below + above, all in exact terms
    gap = (above - whole).astype(np.int64) - (whole - below).astype(np.int64)
    magnitude = np.where((2 * fraction > gap) & (above <= limit), above, below).astype(np.int64)
    return np.asarray(np.where(negative, -magnitude, magnitude))


def _digit_masks(
    m: NDArray[np.uint64], digits: KHotDigits
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Positions of the digits +1 and -1 of magnitudes `m`, as bit masks."""
    if digits is KHotDigits.BINARY:
        return m, np.zeros_like(m)
    half = m >> np.uint64(1)
    sum_ = m + half  # 3 * m / 2: differs from half exactly at the digits of the NAF
    changed = sum_ ^ half
    return sum_ & changed, half & changed


def _weight(m: NDArray[np.uint64], digits: KHotDigits) -> NDArray[np.int64]:
    """How many digits of `m` are not zero."""
    plus, minus = _digit_masks(m, digits)
    return _popcount(plus | minus)


def _popcount(m: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Ones of each `m`: sums of 1, 2, 4 ... bits side by side (NumPy 1 has no `bitwise_count`)."""
    for step, mask in _HALVES:
        m = (m & mask) + ((m >> step) & mask)
    return np.asarray(m).astype(np.int64)


_HALVES = [
    (np.uint64(step), np.uint64((2**64 - 1) // (2**step + 1))) for step in (1, 2, 4, 8, 16, 32)
]
"""(step, mask of every other group of `step` bits)."""


def _floor_log2(m: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Position of the highest one; 0 for 0."""
    position = np.zeros(m.shape, np.uint64)
    for step in (32, 16, 8, 4, 2, 1):
        high = m >> np.uint64(step)
        position += np.where(high != 0, np.uint64(step), np.uint64(0))
        m = np.where(high != 0, high, m)
    return position


def _magnitude(codes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Absolute values; that of the smallest int64 as well."""
    return np.asarray(np.abs(codes)).astype(np.uint64)


def _check_k(k: int) -> int:
    if as_int("k", k) < 1:
        raise FormatError(f"k must be at least 1 digit, not {k}")
    return int(k)
