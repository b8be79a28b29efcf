"""Properties that hold for every format, mode and value."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
    cast_code,
    from_codes,
    quantize,
    requantize,
    round_to_integer,
    to_codes,
    wrap_or_saturate,
)
from tests.strategies import (
    formats,
    int64_arrays,
    overflow_modes,
    rounding_modes,
    saturating_modes,
    values_near,
)


@given(st.data(), formats(), rounding_modes(), overflow_modes())
def test_arrays_agree_with_the_reference(
    data: st.DataObject, fmt: FixedPointFormat, rounding: RoundingMode, overflow: OverflowMode
) -> None:
    x = data.draw(values_near(fmt))
    expected = [cast_code(value, fmt, rounding, overflow) for value in x.tolist()]
    assert to_codes(x, fmt, rounding, overflow).tolist() == expected


@given(
    int64_arrays(), st.integers(-80, 80), st.integers(-80, 80), formats(), rounding_modes(),
    overflow_modes(),
)  # fmt: skip
def test_requantize_agrees_with_the_reference(
    codes: np.ndarray,
    from_frac_bits: int,
    to_frac_bits: int,
    word: FixedPointFormat,
    rounding: RoundingMode,
    overflow: OverflowMode,
) -> None:
    fmt = FixedPointFormat.from_frac_bits(word.width, to_frac_bits, word.signed)
    lsb = Fraction(2) ** -from_frac_bits
    expected = [cast_code(code * lsb, fmt, rounding, overflow) for code in codes.tolist()]
    cast = requantize(
        codes, from_frac_bits, to_frac_bits, fmt.width, fmt.signed, rounding, overflow
    )
    assert cast.tolist() == expected


@given(int64_arrays(2**53), st.integers(-60, 60), formats(), rounding_modes(), overflow_modes())
def test_requantize_agrees_with_to_codes(
    codes: np.ndarray,
    frac_bits: int,
    fmt: FixedPointFormat,
    rounding: RoundingMode,
    overflow: OverflowMode,
) -> None:
    cast = requantize(codes, frac_bits, fmt.frac_bits, fmt.width, fmt.signed, rounding, overflow)
    values = np.ldexp(codes.astype(np.float64), -frac_bits)
    assert np.array_equal(cast, to_codes(values, fmt, rounding, overflow))


@given(st.data(), formats(max_width=53), rounding_modes(), overflow_modes())
def test_a_second_cast_changes_nothing(
    data: st.DataObject, fmt: FixedPointFormat, rounding: RoundingMode, overflow: OverflowMode
) -> None:
    once = quantize(data.draw(values_near(fmt)), fmt, rounding, overflow)
    assert np.array_equal(quantize(once, fmt, rounding, overflow), once)
    assert np.array_equal(from_codes(to_codes(once, fmt, rounding, overflow), fmt), once)


@given(st.data(), formats(), rounding_modes(), saturating_modes())
def test_saturating_casts_keep_the_order(
    data: st.DataObject, fmt: FixedPointFormat, rounding: RoundingMode, overflow: OverflowMode
) -> None:
    x = np.sort(data.draw(values_near(fmt)))
    assert (np.diff(to_codes(x, fmt, rounding, overflow)) >= 0).all()


@given(st.data(), formats(), rounding_modes(), overflow_modes())
def test_codes_stay_in_the_format(
    data: st.DataObject, fmt: FixedPointFormat, rounding: RoundingMode, overflow: OverflowMode
) -> None:
    codes = to_codes(data.draw(values_near(fmt)), fmt, rounding, overflow)
    assert ((codes >= fmt.min_code) & (codes <= fmt.max_code)).all()


@given(st.data(), formats(max_width=52), rounding_modes(), overflow_modes())
def test_the_two_halves_make_the_cast(
    data: st.DataObject, fmt: FixedPointFormat, rounding: RoundingMode, overflow: OverflowMode
) -> None:
    r = data.draw(values_near(FixedPointFormat(fmt.width, fmt.width, fmt.signed)))
    halves = wrap_or_saturate(
        round_to_integer(r, rounding), fmt.width, fmt.signed, overflow, np.floor(r)
    )
    whole = FixedPointFormat(fmt.width, fmt.width, fmt.signed)
    assert np.array_equal(halves, to_codes(r, whole, rounding, overflow))
