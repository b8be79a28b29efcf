"""Casts of arrays: values to codes, codes to values, grid to grid. Exact in every case.

A cast has two halves, as in `ap_fixed`: **round** to a whole code, then **overflow** into the word.

    to_codes     float or integer values -> int64 codes
    requantize   int64 codes on one grid -> int64 codes on another, in integers only

Nothing here rounds twice: floats are scaled by powers of two only (exact), compared with one half
(exact), and reduced to a word by a floating-point remainder (exact). `reference.py` says the same
in rational numbers, one value at a time; the tests hold both to the compiled `ap_fixed` header.

Legend: `r` values in units of the LSB; `codes` whole numbers of LSBs; `h` is `2**(width - 1)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .arguments import (
    as_codes,
    as_frac_bits,
    as_int64,
    as_values,
    check_width,
    first_index,
    is_object,
    subnormals,
)
from .errors import DataError, FormatError
from .format import FixedPointFormat
from .modes import OverflowMode, RoundingMode, forgotten
from .rounding import round_to_integer, shift_right

_FAR = 1 << 20
"""With a binary point this far away every float64 is either huge or tiny."""
_NEAR, _NEAR_BITS = 2.0**400, 400
"""Values and binary points whose product is within the range of float64."""
_MANTISSA = 53
_SAFE, _SAFE_BITS = 2.0**62, 62
"""Integers of so many bits, and one half of as many, add up within an int64."""


def to_codes(
    x: ArrayLike,
    fmt: FixedPointFormat,
    rounding: RoundingMode | str = RoundingMode.AP_RND_CONV,
    overflow: OverflowMode | str = OverflowMode.AP_SAT,
) -> NDArray[np.int64]:
    """Integer codes of values cast to `fmt`.

    Args:
        x: (...) float16, float32, float64, integer or bool values. Finite; any magnitude.
        fmt: target format, at most 62 bits wide.
        rounding: what happens below the LSB.
        overflow: what happens outside the range, after rounding.

    Returns:
        (...) codes within `fmt.min_code .. fmt.max_code`.

    Raises:
        DataError: NaN, infinity, or values that are no real numbers.
        FormatError: `fmt` is wider than 62 bits.

    >>> to_codes([0.25, 0.75, 99.0], FixedPointFormat(4, 3), "AP_RND", "AP_SAT").tolist()
    [1, 2, 7]
    """
    return cast_codes(x, fmt.frac_bits, fmt.width, fmt.signed, rounding, overflow)


def cast_codes(
    x: ArrayLike,
    frac_bits: int | NDArray[np.integer[Any]],
    width: int,
    signed: bool,
    rounding: RoundingMode | str,
    overflow: OverflowMode | str,
) -> NDArray[np.int64]:
    """`to_codes` for a binary point per element or per channel.

    Args:
        x: (...) values, as for `to_codes`.
        frac_bits: bits right of the binary point; an integer, or an integer array that broadcasts
            with `x`.
        width: word length in bits, 1 to 62.
        signed: two's complement if true.
        rounding: what happens below the LSB.
        overflow: what happens outside the range, after rounding.

    Raises:
        DataError: NaN, infinity, or values that are no real numbers.
        FormatError: `width` or `frac_bits` is impossible.

    >>> import numpy as np
    >>> cast_codes([1.0, 1.0], np.array([0, 3]), 8, True, "AP_TRN", "AP_SAT").tolist()
    [1, 8]
    """
    values, peak = as_values("x", x)
    if values.dtype == np.int64:
        return requantize(values, 0, frac_bits, width, signed, rounding, overflow)
    check_width(width)
    overflow = OverflowMode.parse(overflow)
    r = _scale(values, as_frac_bits("frac_bits", frac_bits), peak)
    floor = np.floor(r) if overflow is OverflowMode.AP_WRAP_SM else None
    return _into_word(round_to_integer(r, rounding), floor, width, signed, overflow)


def from_codes(
    codes: ArrayLike, fmt: FixedPointFormat, dtype: DTypeLike = np.float64
) -> NDArray[Any]:
    """Values of integer codes: `codes * 2**-fmt.frac_bits`.

    Args:
        codes: (...) integer codes within the range of `fmt`.
        fmt: format of the codes, at most 62 bits wide.
        dtype: float16, float32 or float64.

    Returns:
        (...) values, each exactly `code * lsb`.

    Raises:
        DataError: a code outside the format, or codes that are not integers.
        FormatError: `dtype` cannot hold one of the values exactly.

    >>> from_codes([-8, 3], FixedPointFormat(4, 3)).tolist()
    [-4.0, 1.5]
    """
    check_width(fmt.width)
    array = as_int64("codes", codes)
    outside = (array < fmt.min_code) | (array > fmt.max_code)
    if outside.any():
        raise DataError(
            f"codes of {fmt} must be within {fmt.min_code}..{fmt.max_code}, "
            f"not {int(array[outside][0])}{first_index(outside)}"
        )
    return _exact_values(array, fmt, np.dtype(dtype))


def quantize(
    x: ArrayLike,
    fmt: FixedPointFormat,
    rounding: RoundingMode | str = RoundingMode.AP_RND_CONV,
    overflow: OverflowMode | str = OverflowMode.AP_SAT,
) -> NDArray[Any]:
    """Values cast to `fmt`, as values.

    Args:
        x: (...) values, as for `to_codes`.
        fmt: target format, at most 62 bits wide.
        rounding: what happens below the LSB.
        overflow: what happens outside the range, after rounding.

    Returns:
        (...) values in the float type of `x`; float64 if `x` holds integers.

    Raises:
        DataError: NaN, infinity, or values that are no real numbers.
        FormatError: the float type of `x` cannot hold one of the results exactly.

    >>> quantize([0.3, 1.7], FixedPointFormat(4, 3), "AP_TRN").tolist()
    [0.0, 1.5]
    """
    array = np.asarray(x)
    dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
    return _exact_values(to_codes(array, fmt, rounding, overflow), fmt, dtype)


def requantize(
    codes: ArrayLike,
    from_frac_bits: int | NDArray[np.integer[Any]],
    to_frac_bits: int | NDArray[np.integer[Any]],
    width: int,
    signed: bool,
    rounding: RoundingMode | str,
    overflow: OverflowMode | str,
) -> NDArray[np.int64]:
    """Codes on one grid cast to a format on another, in integers only.

    Equal to `to_codes(codes * 2**-from_frac_bits, ...)`, also where no float could hold the value.

    Args:
        codes: (...) integer codes; in an object array, Python's, of any size.
        from_frac_bits: fractional bits of `codes`; an integer, or an integer array that broadcasts
            with them (a binary point per channel).
        to_frac_bits: fractional bits of the result; likewise.
        width: word length of the result in bits, 1 to 62.
        signed: whether the result is two's complement.
        rounding: what happens below the new LSB.
        overflow: what happens outside the new range, after rounding.

    Raises:
        DataError: codes that are not integers of at most 64 signed bits.
        FormatError: `width`, `from_frac_bits` or `to_frac_bits` is impossible.

    >>> requantize([6, 7, -6], 2, 0, 8, True, "AP_RND_CONV", "AP_SAT").tolist()
    [2, 2, -2]
    """
    check_width(width)
    rounding, overflow = RoundingMode.parse(rounding), OverflowMode.parse(overflow)
    array: NDArray[Any] = codes if is_object(codes) else as_int64("codes", codes)
    drop = as_frac_bits("from_frac_bits", from_frac_bits) - as_frac_bits(
        "to_frac_bits", to_frac_bits
    )
    shape = np.broadcast_shapes(array.shape, drop.shape)
    bits = max(int(array.max()), -int(array.min())).bit_length() if array.size else 0
    if drop.size and max(bits, int(drop.max()) + 1, bits - int(drop.min())) > _SAFE_BITS:
        most = bits + _SAFE_BITS + 2  # which loses every bit of a code, or of a word
        # Python's integers, in arrays: of scalars NumPy makes its own.
        drop = np.atleast_1d(np.clip(drop, -most, most)).astype(object)
        array = np.atleast_1d(array).astype(object)
    else:
        array = array.astype(np.int64, copy=False)
    array = np.broadcast_to(array, np.broadcast_shapes(array.shape, drop.shape))
    down, up = np.maximum(drop, 0), np.maximum(-drop, 0)
    codes = shift_right(array, down, rounding)
    floor = array >> down if overflow is OverflowMode.AP_WRAP_SM else codes
    if up.any():
        codes, floor = codes << up, floor << up
    fitted = _fit(np.asarray(codes), np.asarray(floor), width, signed, overflow)
    return fitted.astype(np.int64, copy=False).reshape(shape)


def wrap_or_saturate(
    codes: ArrayLike,
    width: int,
    signed: bool,
    overflow: OverflowMode | str,
    floor: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Second half of a cast: rounded codes of any size into a word.

    Args:
        codes: (...) rounded codes: integers, or whole numbers as float64 of any magnitude.
        width: word length in bits, 1 to 62.
        signed: two's complement if true.
        overflow: what happens outside the range.
        floor: (...) the codes that truncation (`AP_TRN`) would have given, in the same type as
            `codes`; None if nothing was rounded. Only `AP_WRAP_SM` looks at them: `ap_fixed` takes
            the sign of the result from a bit of the value **before** rounding.

    Returns:
        (...) codes within the word.

    Raises:
        DataError: codes that are neither integers nor whole numbers.
        FormatError: `width` is impossible.

    >>> wrap_or_saturate([7, 8, 9], 4, True, "AP_WRAP").tolist()
    [7, -8, -7]
    """
    check_width(width)
    overflow = OverflowMode.parse(overflow)
    array = as_codes(codes)
    return _into_word(array, None if floor is None else as_codes(floor), width, signed, overflow)


def _into_word(
    codes: NDArray[Any],
    floor: NDArray[Any] | None,
    width: int,
    signed: bool,
    overflow: OverflowMode,
) -> NDArray[np.int64]:
    """`wrap_or_saturate`, of what is known to be whole."""
    low, high = code_range(width, signed, overflow)
    if codes.dtype == np.float64 and _clips(overflow, signed) and width <= _MANTISSA:
        return np.asarray(np.clip(codes, low, high)).astype(np.int64)
    if codes.dtype == np.float64 and max(codes.max(initial=0), -codes.min(initial=0)) < _SAFE:
        codes, floor = codes.astype(np.int64), None if floor is None else floor.astype(np.int64)
    bounded = codes if codes.dtype == np.int64 else _bounded(codes)
    word = _modulo(codes)
    truncated = word if floor is None else _modulo(floor)
    return _fit(word, truncated, width, signed, overflow, bounded)


def _fit(
    codes: NDArray[Any],
    floor: NDArray[Any],
    width: int,
    signed: bool,
    overflow: OverflowMode,
    bounded: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Codes into a word.

    Args:
        codes: whole numbers.
        floor: what truncation would have given.
        width: of the word.
        signed: two's complement if true.
        overflow: what happens outside the range.
        bounded: where `codes` and `floor` are known modulo `2**63` only: equal to codes within
            every word, and outside of it where they are.
    """
    bounded = codes if bounded is None else bounded
    low, high = code_range(width, signed, overflow)
    if _clips(overflow, signed):
        return np.asarray(np.clip(bounded, low, high))
    if overflow is OverflowMode.AP_WRAP:
        return _wrap(codes, width, signed)
    outside = (bounded > high) | (bounded < low)
    fitted, floor = np.array(bounded), np.broadcast_to(floor, np.shape(bounded))
    if overflow is OverflowMode.AP_SAT_ZERO:
        fitted[outside] = 0
    else:
        fitted[outside] = _wrap_sign_magnitude(codes[outside], floor[outside], width)
    return fitted


def _clips(overflow: OverflowMode, signed: bool) -> bool:
    """Whether what is too large becomes the largest code."""
    match overflow:
        case OverflowMode.AP_SAT | OverflowMode.AP_SAT_SYM:
            return True
        case OverflowMode.AP_WRAP_SM:
            return not signed
        case OverflowMode.AP_WRAP | OverflowMode.AP_SAT_ZERO:
            return False
        case _:
            forgotten(overflow)


def _wrap(codes: NDArray[Any], width: int, signed: bool) -> NDArray[Any]:
    word = codes & ((1 << width) - 1)
    h = 1 << (width - 1)
    return np.asarray((word ^ h) - h if signed else word)


def _wrap_sign_magnitude(codes: NDArray[Any], floor: NDArray[Any], width: int) -> NDArray[Any]:
    """`ap_fixed`'s AP_WRAP_SM: the lowest lost bit becomes the sign; if it changes, mirror."""
    sign = (floor >> width) & 1
    word = _wrap(codes, width, signed=True)
    mirrored = (~word & ((1 << (width - 1)) - 1)) - (sign << (width - 1))
    return np.where((word < 0) == (sign == 1), word, mirrored)


def code_range(width: int, signed: bool, overflow: OverflowMode | str) -> tuple[int, int]:
    """Smallest and largest code that `overflow` leaves alone."""
    overflow = OverflowMode.parse(overflow)
    h = 1 << (width - 1)
    if not signed:
        return 0, 2 * h - 1
    symmetric = overflow.saturates and overflow is not OverflowMode.AP_SAT
    return (1 - h if symmetric and width > 1 else -h), h - 1  # the 1-bit word keeps its -1


def _scale(
    x: NDArray[np.float64], frac_bits: NDArray[np.int64], peak: float
) -> NDArray[np.float64]:
    """`x * 2**frac_bits`, or a value that casts alike where that leaves the range of float64.

    Below 2**-64 only the sign decides; above 2**1000 the low 63 bits are zero in any case.

    Args:
        x: finite values.
        frac_bits: broadcastable with them.
        peak: no magnitude is larger; infinite where the processor may take one for zero.
    """
    if peak < _NEAR and frac_bits.size and 0 <= frac_bits.min() <= frac_bits.max() <= _NEAR_BITS:
        return np.asarray(x * np.ldexp(1.0, frac_bits.astype(np.int32)))
    mantissa, exponent = map(np.asarray, np.frexp(x))
    tiny, whole = subnormals(x, np.uint64, 52)
    if tiny.any():
        part, shift = np.frexp(whole)
        mantissa[tiny], exponent[tiny] = np.copysign(part, x[tiny]), shift - 1074
    point = np.clip(frac_bits, -_FAR, _FAR)
    return np.asarray(np.ldexp(mantissa, np.clip(exponent + point, -64, 1000).astype(np.int32)))


def _bounded(codes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers as int64, those outside every word replaced by `2**62` or `-2**62`."""
    return np.asarray(np.clip(codes, -(2.0**62), 2.0**62)).astype(np.int64)


def _modulo(codes: NDArray[Any]) -> NDArray[np.int64]:
    """Whole numbers modulo `2**63` with their sign, as int64."""
    if codes.dtype == np.int64:
        return codes
    return np.asarray(np.fmod(codes, 2.0**63)).astype(np.int64)


def _exact_values(
    codes: NDArray[np.int64], fmt: FixedPointFormat, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """`codes * lsb` in `dtype`, refused where that would round."""
    if dtype not in (np.float16, np.float32, np.float64):
        raise FormatError(f"dtype must be float16, float32 or float64, not {dtype}")
    point = int(np.clip(fmt.frac_bits, -_FAR, _FAR))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        whole = codes.astype(np.float64)
        values = np.asarray(np.ldexp(whole, -point).astype(dtype))
        back = np.ldexp(values.astype(np.float64), point)
        inexact = (whole.astype(np.int64) != codes) | (back != whole)
    if inexact.any():
        code = int(codes[inexact][0])
        raise FormatError(
            f"{dtype} cannot hold code {code} of {fmt} exactly{first_index(inexact)}; "
            "use a wider float type or integer codes"
        )
    return values
