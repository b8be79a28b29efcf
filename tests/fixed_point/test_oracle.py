"""Our casts against the compiled `ap_fixed` header: zero differences, in every mode pair."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
    cast_code,
    requantize,
    to_codes,
)
from tests.fixed_point import oracle_cases as grid
from tests.fixed_point.conftest import ORACLE_CASES
from tests.oracles.ap_fixed import ApFixedOracle, Case, require_headers

Record = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def headers() -> None:
    """First of all: is there something to compile?"""
    require_headers()


def test_small_widths_exhaustively(record_property: Record) -> None:
    """Widths 1 to 8, all ties, I from -3 to W + 3: integers, floats and the reference."""
    cases = list(grid.small_cases())
    compared = 0
    for case, raw, expected in _run(cases, grid.small_values):
        assert_codes(case, raw, _requantized(case, raw), expected)
        assert_codes(case, raw, _from_floats(case, raw), expected)
        chosen = slice(None) if case.target.width <= 3 else slice(None, None, len(raw) // 5)
        assert_codes(case, raw[chosen], _by_reference(case, raw[chosen]), expected[chosen])
        compared += raw.size
    assert {(case.rounding, case.overflow) for case in cases} == set(grid.MODE_PAIRS)
    assert compared >= 2_000_000
    record_property(ORACLE_CASES, compared)


def test_large_widths_at_random(record_property: Record, rng: np.random.Generator) -> None:
    """Widths to 32, from 64-bit sources that reach far out of the range."""
    compared = 0
    for case, raw, expected in _run(
        list(grid.large_cases()), lambda case: grid.large_values(case, rng)
    ):
        assert_codes(case, raw, _requantized(case, raw), expected)
        exact = np.abs(raw.astype(np.float64)) < 2.0**53
        assert_codes(case, raw[exact], _from_floats(case, raw[exact]), expected[exact])
        assert_codes(case, raw[::400], _by_reference(case, raw[::400]), expected[::400])
        compared += raw.size
    record_property(ORACLE_CASES, compared)


def test_construction_from_double(record_property: Record, rng: np.random.Generator) -> None:
    """The header's other implementation agrees on doubles of every size."""
    compared = 0
    for case, values, expected in _run(
        list(grid.double_cases()), lambda case: grid.double_values(case, rng)
    ):
        codes = to_codes(values, case.target, case.rounding, case.overflow)
        assert_codes(case, values, codes, expected)
        compared += values.size
    record_property(ORACLE_CASES, compared)


def test_values_tell_every_mode_from_every_other() -> None:
    """The comparison is not vacuous: no two signed mode pairs give the same codes."""
    cases = [case for case in grid.small_cases() if str(case.target) == "ap_fixed<4,2>"]
    codes = {expected.tobytes() for _, _, expected in _run(cases, grid.small_values)}
    assert len(cases) == len(codes) == 35


def test_header_misreads_denormal_doubles() -> None:
    """The header reads a denormal as if it had an implicit leading one; we read its value."""
    fmt = FixedPointFormat.from_frac_bits(8, 1074)
    case = Case(None, fmt, RoundingMode.AP_TRN, OverflowMode.AP_SAT)
    smallest = np.array([5e-324])
    assert to_codes(smallest, fmt).tolist() == [1]
    assert ApFixedOracle([case]).cast(0, smallest).tolist() == [127]


@pytest.mark.slow
def test_sources_of_every_shape(record_property: Record) -> None:
    """Sources narrower and wider, coarser and finer, signed and unsigned; all their codes."""
    compared = 0
    for case, raw, expected in _run(list(_shape_cases()), grid.small_values):
        assert_codes(case, raw, _requantized(case, raw), expected)
        assert_codes(case, raw, _by_reference(case, raw), expected)
        compared += raw.size
    record_property(ORACLE_CASES, compared)


def _shape_cases() -> Iterator[Case]:
    """Every mode pair where there is something to round, else every mode of both."""
    each = list(zip(RoundingMode, itertools.cycle(OverflowMode), strict=False))
    booleans = (True, False)
    for width, signed in itertools.product((1, 2, 4), booleans):
        target = FixedPointFormat(width, width - 1, signed)
        for source_width, extra, s in itertools.product((1, 3, 6), (-2, 0, 1, 4, 9), booleans):
            source = FixedPointFormat.from_frac_bits(source_width, target.frac_bits + extra, s)
            for rounding, overflow in grid.MODE_PAIRS if extra > 0 else each:
                yield Case(source, target, rounding, overflow)


def _run(
    cases: list[Case], values: Callable[[Case], NDArray[np.int64] | NDArray[np.float64]]
) -> Iterator[tuple[Case, NDArray[np.int64], NDArray[np.int64]]]:
    """Each case with its values and the header's codes."""
    oracle = ApFixedOracle(cases)
    for index, case in enumerate(cases):
        given = values(case)
        yield case, given, oracle.cast(index, given)


def _requantized(case: Case, raw: NDArray[np.int64]) -> NDArray[np.int64]:
    assert case.source is not None
    points = case.source.frac_bits, case.target.frac_bits
    word = case.target.width, case.target.signed
    return requantize(raw, *points, *word, case.rounding, case.overflow)


def _from_floats(case: Case, raw: NDArray[np.int64]) -> NDArray[np.int64]:
    assert case.source is not None
    values = np.ldexp(raw.astype(np.float64), -case.source.frac_bits)
    return to_codes(values, case.target, case.rounding, case.overflow)


def _by_reference(case: Case, raw: NDArray[np.int64]) -> NDArray[np.int64]:
    assert case.source is not None
    lsb = Fraction(2) ** -case.source.frac_bits
    codes = [cast_code(c * lsb, case.target, case.rounding, case.overflow) for c in raw.tolist()]
    return np.array(codes, dtype=np.int64)


def assert_codes(
    case: Case,
    given: NDArray[np.int64] | NDArray[np.float64],
    codes: NDArray[np.int64],
    expected: NDArray[np.int64],
) -> None:
    """Equal means equal integers; the first difference is shown."""
    wrong = np.flatnonzero(codes != expected)
    if wrong.size:
        first = wrong[0]
        pytest.fail(
            f"{wrong.size} of {given.size} codes differ in {case.cpp}: "
            f"{given[first]!r} gives {codes[first]}, the header {expected[first]}"
        )
