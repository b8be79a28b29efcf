"""Intervals hold everything that the arithmetic can produce, and not one code more."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from brevitas_quantizers.fixed_point import (
    DataError,
    FixedPointFormat,
    Interval,
    QfxError,
    minimal_format,
)
from tests.strategies import formats, intervals


def bounds(interval: Interval) -> tuple[Any, Any, int]:
    low, high = interval.min_code, interval.max_code
    if isinstance(low, np.ndarray) and isinstance(high, np.ndarray):
        return low.tolist(), high.tolist(), interval.frac_bits
    return low, high, interval.frac_bits


A = Interval(-3, 5, frac_bits=2)
B = Interval(1, 2, frac_bits=4)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (A + B, (-11, 22, 4)),
        (A - B, (-14, 19, 4)),
        (-A, (-5, 3, 2)),
        (A * B, (-6, 10, 6)),
        (A * A, (-15, 25, 4)),
        (A.shift(3), (-3, 5, -1)),
        (A.align(3), (-6, 10, 3)),
        (A.union(B), (-12, 20, 4)),
        (A.relu(), (0, 5, 2)),
        (Interval(-9, -1).relu(), (0, 0, 0)),
        (A.dot([2, -1, 0], 3), (-11, 13, 5)),
        (B.dot([2, -1, 0], 3), (0, 3, 7)),
        (B.dot_partial([2, -1, 0], 3), (-2, 4, 7)),
        (A.dot([[2, -1], [0, 0]]), ([-11, 0], [13, 0], 2)),
        (Interval([0, -1], [3, 1]).dot([[2, -1], [-1, 3]]), ([-1, -6], [7, 3], 0)),
        (Interval([0, -1], [3, 1]).hull(), (-1, 3, 0)),
        (Interval([0, -1], [3, 1]) + Interval(1, 1, 1), ([1, -1], [7, 3], 1)),
        (Interval.of_codes([[3, -4]], 5), ([[3, -4]], [[3, -4]], 5)),
        (Interval.of_format(FixedPointFormat(4, 2)), (-8, 7, 2)),
        (A.dot(np.zeros((2, 0), int)), ([0, 0], [0, 0], 2)),
    ],
)
def test_operations(result: Interval, expected: tuple[Any, Any, int]) -> None:
    assert bounds(result) == expected


def test_contains_and_text() -> None:
    assert A.contains(Interval(-12, 20, 4)) and not A.contains(Interval(-13, 20, 4))
    assert str(Interval([0, -1], [3, 1], 2)) == "[-1, 3] * 2**-2"


@pytest.mark.parametrize(
    ("interval", "name"),
    [
        (Interval(0, 0), "ap_ufixed<1,1>"),
        (Interval(0, 255, 5), "ap_ufixed<8,3>"),
        (Interval(0, 256), "ap_ufixed<9,9>"),
        (Interval(-1, 0), "ap_fixed<1,1>"),
        (Interval(-1, 1), "ap_fixed<2,2>"),
        (Interval(-128, 127, 10), "ap_fixed<8,-2>"),
        (Interval(-129, 0, -3), "ap_fixed<9,12>"),
        (Interval(-1, 128), "ap_fixed<9,9>"),
        (Interval(-9, -4), "ap_fixed<5,5>"),
        (Interval([0, -9], [40, 0]), "ap_fixed<7,7>"),
        (Interval(-(2**80), 0), "ap_fixed<81,81>"),
    ],
)
def test_minimal_format(interval: Interval, name: str) -> None:
    assert str(minimal_format(interval)) == name


@given(formats(max_width=200))
def test_minimal_format_of_a_format_is_itself(fmt: FixedPointFormat) -> None:
    assert minimal_format(Interval.of_format(fmt)) == fmt


@given(intervals())
def test_one_bit_less_is_not_enough(interval: Interval) -> None:
    fmt = minimal_format(interval)
    assert Interval.of_format(fmt).contains(interval)
    assert fmt.signed == (interval.min_code < 0)
    if fmt.width > 1:
        narrower = FixedPointFormat.from_frac_bits(fmt.width - 1, fmt.frac_bits, fmt.signed)
        assert not Interval.of_format(narrower).contains(interval)


@given(intervals(largest=6, far=2), intervals(largest=6, far=2))
def test_sound_and_tight(a: Interval, b: Interval) -> None:
    """Over all pairs of members, each operation reaches exactly its bounds."""

    def members(interval: Interval) -> list[float]:
        codes = range(int(interval.min_code), int(interval.max_code) + 1)
        return [code * 2.0**-interval.frac_bits for code in codes]

    pairs = list(itertools.product(members(a), members(b)))
    for result, values in [
        (a + b, [x + y for x, y in pairs]),
        (a - b, [x - y for x, y in pairs]),
        (a * b, [x * y for x, y in pairs]),
        (a.union(b), members(a) + members(b)),
        (a.relu(), [max(x, 0.0) for x in members(a)]),
        (a.shift(3), [8 * x for x in members(a)]),
    ]:
        lsb = 2.0**-result.frac_bits
        assert (min(values), max(values)) == (result.min_code * lsb, result.max_code * lsb)


@given(
    hnp.arrays(np.int64, (2, 3), elements=st.integers(-(2**62), 2**62)),
    hnp.arrays(np.int64, (3, 2), elements=st.integers(-(2**62), 2**62)),
)
def test_dot_reaches_its_bounds_beyond_64_bits(weights: np.ndarray, x: np.ndarray) -> None:
    low, high = x.min(axis=1), x.max(axis=1)
    corners = [
        [sum(w * v for w, v in zip(row, corner, strict=True)) for row in weights.tolist()]
        for corner in itertools.product(*zip(low.tolist(), high.tolist(), strict=True))
    ]
    interval = Interval(low, high).dot(weights)
    assert bounds(interval)[:2] == (
        [min(column) for column in zip(*corners, strict=True)],
        [max(column) for column in zip(*corners, strict=True)],
    )
    partial = Interval(low, high).dot_partial(weights)
    assert partial.contains(interval) and partial.contains(Interval([0, 0], [0, 0]))


def test_arrays_become_python_integers() -> None:
    big = Interval(np.array([2**62]), np.array([2**63 - 1]))
    assert bounds(big * big) == ([2**124], [(2**63 - 1) ** 2], 0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Interval(3, 2), "min_code must not be above max_code: 3 > 2"),
        (lambda: Interval([0, 3], [1, 2]), "min_code must not be above max_code: 3 > 2"),
        (lambda: Interval(0.5, 2), "min_code must be integers, not float64"),
        (
            lambda: Interval([0, 1], [1, 2, 3]),
            "interval bounds must have one shape, not (2,) and (3,)",
        ),
        (lambda: A.align(1), "frac_bits to align to must be at least 2, not 1"),
        (
            lambda: A.dot([0.5]),
            "weight_codes must be integers with a dimension of inputs, not float64 of shape (1,)",
        ),
        (
            lambda: Interval([0, 0], [1, 1]).dot([[1, 2, 3]]),
            "weight_codes must have 2 inputs, not 3",
        ),
    ],
)
def test_errors(call: Any, text: str) -> None:
    with pytest.raises(DataError) as caught:
        call()
    assert isinstance(caught.value, QfxError)
    assert str(caught.value) == text


@pytest.mark.parametrize("bits", [20, 21, 22, 23])
def test_dot_around_64_bits(bits: int) -> None:
    """Products that fit into int64, and whose sum does or does not."""
    weights = np.full(3, 1 << bits)
    interval = Interval(-(1 << 40), (1 << 40) - 1).dot(weights)
    assert (int(interval.min_code), int(interval.max_code)) == (
        -(3 << (bits + 40)), (3 << (bits + 40)) - (3 << bits),
    )  # fmt: skip
    partial = Interval(0, 1 << 40).dot_partial(np.array([1 << bits, 1 << bits, -(1 << bits)]))
    assert (int(partial.min_code), int(partial.max_code)) == (-(1 << (bits + 40)), 2 << (bits + 40))
