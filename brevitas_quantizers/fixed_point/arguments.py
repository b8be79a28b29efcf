"""Arguments of the array functions: what is accepted, exactly, and how the rest is refused."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError, FormatError
from .format import as_int

MAX_WIDTH = 62
"""Widest format of the array functions: the word, its sign and one more bit fit an int64."""


def as_values(name: str, x: ArrayLike) -> tuple[NDArray[Any], float]:
    """`x` as float64 or int64 array, exactly; anything else is refused.

    Returns:
        The array, and the largest magnitude of floats: infinite where the processor may take one
        of them for zero.
    """
    array = np.asarray(x)
    if array.dtype.kind in "iub":
        return as_int64(name, array), 0.0
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise DataError(
            f"{name} must hold float16, float32, float64 or integers, not {array.dtype}"
        )
    peak = max(float(array.max()), -float(array.min())) if array.size else 0.0
    if not math.isfinite(peak):
        bad = ~np.isfinite(array)
        raise DataError(
            f"{name} must be finite: {int(bad.sum())} of {array.size} values are NaN or infinite, "
            f"the first is {array[bad][0]}{first_index(bad)}"
        )
    values = np.asarray(array.astype(np.float64))
    if not _flushes():
        return values, peak
    if array.dtype == np.float32:
        tiny, whole = subnormals(array, np.uint32, 23)
        if tiny.any():
            values[tiny] = np.copysign(np.ldexp(whole, -149), array[tiny])
    return values, math.inf


def _flushes() -> bool:
    """Whether this thread's processor takes subnormal floats for zero."""
    subnormal = np.array([1 << 10], np.uint64).view(np.float64)
    return not (subnormal * 0.5).view(np.uint64)[0]


def subnormals(
    array: NDArray[Any], bits: type[np.unsignedinteger[Any]], mantissa: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Where floats are subnormal, and the whole number of least steps of each that is.

    From their bits: with a processor set to flush subnormals, arithmetic takes them for zero.

    Args:
        array: float32 or float64.
        bits: unsigned integers of the same size.
        mantissa: stored bits of the mantissa.
    """
    magnitude = array.view(bits) & bits(np.iinfo(bits).max >> 1)
    tiny = (magnitude != 0) & (magnitude < bits(1 << mantissa))
    return tiny, magnitude[tiny].astype(np.float64)


def as_codes(codes: ArrayLike) -> NDArray[Any]:
    """Rounded codes as int64, or as float64 whole numbers."""
    array = np.asarray(codes)
    if array.dtype.kind != "f":
        return as_int64("codes", array)
    array = array.astype(np.float64)
    bad = ~np.isfinite(array) | (np.trunc(array) != array)
    if bad.any():
        raise DataError(f"codes must be whole numbers, not {array[bad][0]}{first_index(bad)}")
    return array


def is_object(codes: ArrayLike) -> TypeGuard[NDArray[np.object_]]:
    """Whether these are Python's integers, in an array."""
    return isinstance(codes, np.ndarray) and codes.dtype == object


def as_int64(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.size == 0 and array.dtype == np.float64 and isinstance(values, list | tuple):
        return array.astype(np.int64)  # np.asarray([]) is float64
    if array.dtype.kind not in "iub":
        raise DataError(f"{name} must be integers, not {array.dtype}")
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{name} must fit a signed 64-bit integer, not {int(array.max())}")
    return array.astype(np.int64, copy=False)


def as_frac_bits(name: str, frac_bits: int | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    array = np.asarray(frac_bits)
    if array.dtype.kind not in "iu":
        raise FormatError(f"{name} must be an integer or an integer array, not {frac_bits!r}")
    if array.size and max(int(array.max()), -int(array.min())) >= 1 << 31:
        raise FormatError(f"{name} must fit 32 bits, not {int(array.flat[np.abs(array).argmax()])}")
    return array.astype(np.int64)


def check_width(width: int) -> None:
    if not 1 <= as_int("width", width) <= MAX_WIDTH:
        raise FormatError(f"width must be 1 to {MAX_WIDTH} bits in array functions, not {width}")


def first_index(bad: NDArray[np.bool_]) -> str:
    """`" at index (0, 2)"` of the first true element; nothing for a scalar."""
    if bad.ndim == 0:
        return ""
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
    return f" at index {index if len(index) > 1 else index[0]}"
