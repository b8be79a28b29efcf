"""Intervals of codes: what a sum of products can reach, and the narrowest format that holds it.

Bounds are Python integers, or object arrays of them (one interval per channel), so that nothing
overflows: the accumulator of a wide layer may need more than 64 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError
from .format import FixedPointFormat, as_int

Bound = int | NDArray[Any]
"""A Python integer, or an object array of Python integers."""

_INT64_SAFE = 1 << 62


@dataclass(frozen=True, eq=False, slots=True)
class Interval:
    """All codes from `min_code` to `max_code`, at one binary point.

    Attributes:
        min_code: smallest code, inclusive; an integer or an array (one interval per element).
        max_code: largest code, inclusive; of the same shape.
        frac_bits: bits right of the binary point of all of them.

    Raises:
        DataError: bounds that are not integers, differ in shape, or are in the wrong order.

    >>> byte = Interval.of_format(FixedPointFormat(8, 8))
    >>> str(byte + byte), str(minimal_format(byte * byte))
    ('[-256, 254] * 2**0', 'ap_fixed<16,16>')
    """

    min_code: Bound
    max_code: Bound
    frac_bits: int = 0

    def __post_init__(self) -> None:
        low, high = _as_bound("min_code", self.min_code), _as_bound("max_code", self.max_code)
        if np.shape(low) != np.shape(high):
            raise DataError(
                f"interval bounds must have one shape, not {np.shape(low)} and {np.shape(high)}"
            )
        reversed_ = np.asarray(np.greater(low, high), dtype=np.bool_)
        if reversed_.any():
            first = int(np.argmax(reversed_))
            raise DataError(
                "min_code must not be above max_code: "
                f"{np.asarray(low).flat[first]} > {np.asarray(high).flat[first]}"
            )
        object.__setattr__(self, "min_code", low)
        object.__setattr__(self, "max_code", high)
        object.__setattr__(self, "frac_bits", as_int("frac_bits", self.frac_bits))

    @classmethod
    def of_format(cls, fmt: FixedPointFormat) -> Interval:
        """Everything a format can hold."""
        return cls(fmt.min_code, fmt.max_code, fmt.frac_bits)

    @classmethod
    def of_codes(cls, codes: ArrayLike, frac_bits: int = 0) -> Interval:
        """The constants `codes`: one interval of a single code for each."""
        return cls(np.asarray(codes), np.asarray(codes), frac_bits)

    def __str__(self) -> str:
        return f"[{_least(self.min_code)}, {_greatest(self.max_code)}] * 2**{-self.frac_bits}"

    def __add__(self, other: Interval) -> Interval:
        """Sum; the finer binary point of the two, exactly."""
        a, b = _aligned(self, other)
        return Interval(a.min_code + b.min_code, a.max_code + b.max_code, a.frac_bits)

    def __neg__(self) -> Interval:
        return Interval(-self.max_code, -self.min_code, self.frac_bits)

    def __sub__(self, other: Interval) -> Interval:
        """Difference; the finer binary point of the two, exactly."""
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        """Product of two independent operands; binary points add up."""
        corners = [
            a * b for a in (self.min_code, self.max_code) for b in (other.min_code, other.max_code)
        ]
        return Interval(
            _elementwise_min(*corners),
            _elementwise_max(*corners),
            self.frac_bits + other.frac_bits,
        )

    def shift(self, bits: int) -> Interval:
        """The values times `2**bits`: same codes, the binary point moves."""
        return Interval(self.min_code, self.max_code, self.frac_bits - as_int("bits", bits))

    def align(self, frac_bits: int) -> Interval:
        """The same values on a grid that is as fine or finer.

        Raises:
            DataError: the grid is coarser.
        """
        up = as_int("frac_bits", frac_bits) - self.frac_bits
        if up < 0:
            raise DataError(
                f"frac_bits to align to must be at least {self.frac_bits}, not {frac_bits}"
            )
        return Interval(self.min_code * (1 << up), self.max_code * (1 << up), frac_bits)

    def union(self, other: Interval) -> Interval:
        """Smallest interval around both, element by element."""
        a, b = _aligned(self, other)
        return Interval(
            _elementwise_min(a.min_code, b.min_code),
            _elementwise_max(a.max_code, b.max_code),
            a.frac_bits,
        )

    def hull(self) -> Interval:
        """Smallest single interval around all elements."""
        return Interval(_least(self.min_code), _greatest(self.max_code), self.frac_bits)

    def relu(self) -> Interval:
        """`max(x, 0)` of every element."""
        return Interval(
            _elementwise_max(self.min_code, 0), _elementwise_max(self.max_code, 0), self.frac_bits
        )

    def dot(self, weight_codes: ArrayLike, weight_frac_bits: int = 0) -> Interval:
        """Exact range of `weight @ x` over every `x` in this interval, per output.

        For the register that holds the finished sum. A saturating accumulator also has to hold
        what comes before (see `dot_partial`); a wrapping one does not.

        Args:
            weight_codes: (..., inputs) integer codes of the weights.
            weight_frac_bits: fractional bits of the weights.

        Returns:
            (...) an interval per output; binary points add up.

        Raises:
            DataError: weights that are not integers, or a wrong number of inputs.
        """
        low, high = self._terms(weight_codes)
        return Interval(_sum(low), _sum(high), self.frac_bits + weight_frac_bits)

    def dot_partial(self, weight_codes: ArrayLike, weight_frac_bits: int = 0) -> Interval:
        """As `dot`, but of every partial sum in every order, the empty one included."""
        low, high = self._terms(weight_codes)
        return Interval(
            _sum(np.minimum(low, 0)),
            _sum(np.maximum(high, 0)),
            self.frac_bits + weight_frac_bits,
        )

    def contains(self, other: Interval) -> bool:
        """Whether every value of `other` lies within this interval, element by element."""
        a, b = _aligned(self, other)
        return bool(np.all(a.min_code <= b.min_code) and np.all(b.max_code <= a.max_code))

    def _terms(self, weight_codes: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """(..., inputs) smallest and largest product of each weight with its input."""
        weights = np.asarray(weight_codes)
        if weights.dtype.kind not in "iuO" or weights.ndim == 0:
            raise DataError(
                f"weight_codes must be integers with a dimension of inputs, "
                f"not {weights.dtype} of shape {weights.shape}"
            )
        if np.ndim(self.min_code) and np.shape(self.min_code) != weights.shape[-1:]:
            raise DataError(
                f"weight_codes must have {np.shape(self.min_code)[-1]} inputs, "
                f"not {weights.shape[-1]}"
            )
        dtype = self._term_dtype(weights)
        low: NDArray[Any] = np.asarray(self.min_code, dtype=dtype)
        high: NDArray[Any] = np.asarray(self.max_code, dtype=dtype)
        weights = weights.astype(dtype)
        positive = weights > 0
        return (
            np.where(positive, weights * low, weights * high),
            np.where(positive, weights * high, weights * low),
        )

    def _term_dtype(self, weights: NDArray[Any]) -> type:
        """int64 where no sum of products can overflow, Python integers elsewhere."""
        if weights.size == 0:
            return object
        largest = max(abs(int(weights.max())), abs(int(weights.min())))
        reach = max(abs(_least(self.min_code)), abs(_greatest(self.max_code)), 1)
        return np.int64 if largest * reach * weights.shape[-1] < _INT64_SAFE else object


def minimal_format(interval: Interval) -> FixedPointFormat:
    """Narrowest format that holds every code of `interval`; signed only if it must be.

    >>> str(minimal_format(Interval(-4, 3, frac_bits=1)))
    'ap_fixed<3,2>'
    """
    low, high = _least(interval.min_code), _greatest(interval.max_code)
    if low >= 0:
        return FixedPointFormat.from_frac_bits(max(high.bit_length(), 1), interval.frac_bits, False)
    width = max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1
    return FixedPointFormat.from_frac_bits(width, interval.frac_bits, True)


def _aligned(a: Interval, b: Interval) -> tuple[Interval, Interval]:
    finest = max(a.frac_bits, b.frac_bits)
    return a.align(finest), b.align(finest)


def _as_bound(name: str, bound: object) -> Bound:
    array = np.asarray(bound)
    if array.dtype.kind not in "iuO":
        raise DataError(f"{name} must be integers, not {array.dtype}")
    if array.ndim == 0:
        return as_int(name, bound if isinstance(bound, int) else array.item())
    exact = [as_int(name, element) for element in array.flat]
    return np.array(exact, dtype=object).reshape(array.shape)


def _elementwise_min(first: Bound, *others: Bound) -> Bound:
    for other in others:
        first = np.minimum(first, other) if np.ndim(first) or np.ndim(other) else min(first, other)
    return first


def _elementwise_max(first: Bound, *others: Bound) -> Bound:
    for other in others:
        first = np.maximum(first, other) if np.ndim(first) or np.ndim(other) else max(first, other)
    return first


def _least(bound: Bound) -> int:
    return bound if isinstance(bound, int) else int(bound.min())


def _greatest(bound: Bound) -> int:
    return bound if isinstance(bound, int) else int(bound.max())


def _sum(terms: NDArray[Any]) -> Bound:
    total = terms.sum(axis=-1)
    return int(total) if np.ndim(total) == 0 else np.asarray(total)
