"""One table of casts, worked by hand; it tests the reference and the arrays alike."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import (
    FixedPointCast,
    OverflowMode,
    RoundingMode,
    cast_code,
    requantize,
    round_to_integer,
    to_codes,
    wrap_or_saturate,
)

Cast = Callable[[float, FixedPointCast], int]

TIES = {  # codes of -2.5, -1.5, -0.5, 0.5, 1.5, 2.5
    "AP_TRN": [-3, -2, -1, 0, 1, 2],
    "AP_TRN_ZERO": [-2, -1, 0, 0, 1, 2],
    "AP_RND": [-2, -1, 0, 1, 2, 3],
    "AP_RND_ZERO": [-2, -1, 0, 0, 1, 2],
    "AP_RND_INF": [-3, -2, -1, 1, 2, 3],
    "AP_RND_MIN_INF": [-3, -2, -1, 0, 1, 2],
    "AP_RND_CONV": [-2, -2, 0, 0, 2, 2],
}

BESIDE = {  # codes of -1.75, -1.25, -0.25, 0.25, 1.25, 1.75
    "AP_TRN": [-2, -2, -1, 0, 1, 1],
    "AP_TRN_ZERO": [-1, -1, 0, 0, 1, 1],
    "AP_RND": [-2, -1, 0, 0, 1, 2],
    "AP_RND_ZERO": [-2, -1, 0, 0, 1, 2],
    "AP_RND_INF": [-2, -1, 0, 0, 1, 2],
    "AP_RND_MIN_INF": [-2, -1, 0, 0, 1, 2],
    "AP_RND_CONV": [-2, -1, 0, 0, 1, 2],
}

RANGES = {  # codes of -17, -9, -8, -7, 7, 8, 9, 16 in four signed bits
    "AP_WRAP": [-1, 7, -8, -7, 7, -8, -7, 0],
    "AP_SAT": [-8, -8, -8, -7, 7, 7, 7, 7],
    "AP_SAT_SYM": [-7, -7, -7, -7, 7, 7, 7, 7],
    "AP_SAT_ZERO": [0, 0, -8, -7, 7, 0, 0, 0],
    "AP_WRAP_SM": [0, -8, -8, -7, 7, 7, 6, -1],
}

UNSIGNED_RANGES = {  # codes of -17, -1, 0, 15, 16, 33 in four unsigned bits
    "AP_WRAP": [15, 15, 0, 15, 0, 1],
    "AP_SAT": [0, 0, 0, 15, 15, 15],
    "AP_SAT_SYM": [0, 0, 0, 15, 15, 15],
    "AP_SAT_ZERO": [0, 0, 0, 15, 0, 0],
    "AP_WRAP_SM": [0, 0, 0, 15, 15, 15],
}

CORNERS = [
    # rounding itself overflows
    (7.5, "ap_fixed<4,4,AP_RND,AP_WRAP>", -8),
    (7.5, "ap_fixed<4,4,AP_RND,AP_SAT>", 7),
    (7.5, "ap_fixed<4,4,AP_RND,AP_SAT_ZERO>", 0),
    (-8.5, "ap_fixed<4,4,AP_RND_INF,AP_WRAP>", 7),
    (-8.5, "ap_fixed<4,4,AP_RND,AP_SAT_ZERO>", -8),
    (15.5, "ap_ufixed<4,4,AP_RND,AP_WRAP>", 0),
    # a negative value that rounds to zero is no underflow
    (-0.5, "ap_ufixed<4,4,AP_RND,AP_SAT_ZERO>", 0),
    (-0.5, "ap_ufixed<4,4,AP_TRN,AP_WRAP>", 15),
    # AP_WRAP_SM takes the sign from the value before rounding: 31 = 0b01_1111, not 32
    (31.5, "ap_fixed<4,4,AP_RND,AP_WRAP_SM>", -1),
    (32.0, "ap_fixed<4,4,AP_RND,AP_WRAP_SM>", 0),
    # one bit: AP_SAT_SYM keeps -1
    (-1.0, "ap_fixed<1,1,AP_TRN,AP_SAT_SYM>", -1),
    (-9.0, "ap_fixed<1,1,AP_TRN,AP_SAT_SYM>", -1),
    (1.0, "ap_fixed<1,1,AP_TRN,AP_SAT>", 0),
    (1.0, "ap_fixed<1,1,AP_TRN,AP_WRAP>", -1),
    # the binary point outside the word
    (96.0, "ap_fixed<4,9,AP_RND,AP_SAT>", 3),
    (-0.001, "ap_fixed<4,9,AP_TRN,AP_SAT>", -1),
    (0.03, "ap_fixed<4,-3,AP_TRN,AP_SAT>", 3),
    (1.0, "ap_fixed<4,-3,AP_TRN,AP_SAT>", 7),
    # no rounding twice: 0.5 is not reached by adding one half in floating point
    (0.49999999999999994, "ap_fixed<8,8,AP_RND,AP_SAT>", 0),
    (-0.49999999999999994, "ap_fixed<8,8,AP_RND_INF,AP_SAT>", 0),
    (4503599627370495.5, "ap_fixed<60,60,AP_RND_CONV,AP_SAT>", 4503599627370496),
    # the widest words
    (2.0**60 + 256, "ap_fixed<62,62,AP_TRN,AP_WRAP>", 2**60 + 256),
    (2.0**61, "ap_fixed<62,62,AP_TRN,AP_WRAP>", -(2**61)),
    (2.0**62 + 1024, "ap_ufixed<62,62,AP_TRN,AP_WRAP>", 1024),
    (2.0**62 + 1024, "ap_fixed<62,62,AP_TRN,AP_WRAP_SM>", -1025),
    (-(2.0**61), "ap_fixed<62,62,AP_TRN,AP_SAT_SYM>", 1 - 2**61),
    (2.0**61, "ap_fixed<62,62,AP_TRN,AP_SAT>", 2**61 - 1),
    (-(2.0**61), "ap_fixed<62,62,AP_TRN,AP_SAT_ZERO>", -(2**61)),
    # huge and tiny
    (1e300, "ap_fixed<8,3,AP_RND,AP_SAT>", 127),
    (-1e300, "ap_fixed<8,3,AP_RND,AP_SAT_ZERO>", 0),
    (1e300, "ap_fixed<8,3,AP_RND,AP_WRAP>", 0),
    (-1.7e308, "ap_fixed<8,-900,AP_RND,AP_SAT>", -128),
    (5e-324, "ap_fixed<8,3,AP_TRN,AP_WRAP>", 0),
    (-5e-324, "ap_fixed<8,3,AP_TRN,AP_WRAP>", -1),
    (-5e-324, "ap_fixed<8,99,AP_TRN,AP_WRAP>", -1),
    (-5e-324, "ap_fixed<8,99,AP_RND_INF,AP_WRAP>", 0),
    (5e-324, "ap_fixed<8,-1066,AP_TRN,AP_SAT>", 1),
]


def _by_reference(value: float, cast: FixedPointCast) -> int:
    return cast_code(value, cast.format, cast.rounding, cast.overflow)


def _by_floats(value: float, cast: FixedPointCast) -> int:
    return int(to_codes(value, cast.format, cast.rounding, cast.overflow))


def _by_integers(value: float, cast: FixedPointCast) -> int:
    numerator, denominator = Fraction(value).as_integer_ratio()
    point = denominator.bit_length() - 1
    while abs(numerator) >= 2**63:  # halve exactly: the value is a huge even number
        numerator, point = numerator // 2, point - 1
    fmt = cast.format
    return int(
        requantize(
            np.int64(numerator), point, fmt.frac_bits, fmt.width, fmt.signed,
            cast.rounding, cast.overflow,
        )
    )  # fmt: skip


both = pytest.mark.parametrize("cast", [_by_reference, _by_floats, _by_integers])


@both
@pytest.mark.parametrize("mode", RoundingMode)
def test_rounding(cast: Cast, mode: RoundingMode) -> None:
    exact = FixedPointCast.parse(f"ap_fixed<8,8,{mode},AP_SAT>")
    assert [cast(v, exact) for v in (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)] == TIES[mode]
    assert [cast(v, exact) for v in (-1.75, -1.25, -0.25, 0.25, 1.25, 1.75)] == BESIDE[mode]


@both
@pytest.mark.parametrize("mode", OverflowMode)
def test_overflow(cast: Cast, mode: OverflowMode) -> None:
    signed = FixedPointCast.parse(f"ap_fixed<4,4,AP_TRN,{mode}>")
    assert [cast(v, signed) for v in (-17, -9, -8, -7, 7, 8, 9, 16)] == RANGES[mode]
    unsigned = FixedPointCast.parse(f"ap_ufixed<4,4,AP_TRN,{mode}>")
    assert [cast(v, unsigned) for v in (-17, -1, 0, 15, 16, 33)] == UNSIGNED_RANGES[mode]


@both
@pytest.mark.parametrize(("value", "name", "code"), CORNERS)
def test_corners(cast: Cast, value: float, name: str, code: int) -> None:
    assert cast(value, FixedPointCast.parse(name)) == code


@pytest.mark.parametrize("mode", RoundingMode)
def test_first_half_alone(mode: RoundingMode) -> None:
    r = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert round_to_integer(r, mode).tolist() == TIES[mode]
    assert round_to_integer(np.float64(2.0**60), mode) == 2.0**60


@pytest.mark.parametrize("mode", OverflowMode)
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, np.float64])
def test_second_half_alone(mode: OverflowMode, dtype: type) -> None:
    codes = np.array([-17, -9, -8, -7, 7, 8, 9, 16], dtype=dtype)
    assert wrap_or_saturate(codes, 4, True, mode).tolist() == RANGES[mode]


def test_second_half_takes_the_sign_from_the_codes_before_rounding() -> None:
    assert wrap_or_saturate([32], 4, True, "AP_WRAP_SM").tolist() == [0]
    assert wrap_or_saturate([32], 4, True, "AP_WRAP_SM", floor=[31]).tolist() == [-1]
