"""Inputs, outputs and errors of the array functions; the arithmetic is in the other files."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import (
    DataError,
    FixedPointFormat,
    FormatError,
    ModeError,
    OverflowMode,
    QfxError,
    RoundingMode,
    cast_code,
    cast_codes,
    from_codes,
    quantize,
    requantize,
    to_codes,
    wrap_or_saturate,
)

FMT = FixedPointFormat(8, 3)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i2", "i4", "i8", "u8", "?"])
def test_every_real_dtype(dtype: str) -> None:
    codes = to_codes(np.array([[0, 1], [1, 0]], dtype=dtype), FMT)
    assert codes.dtype == np.int64
    assert codes.tolist() == [[0, 32], [32, 0]]


def test_shapes_are_kept() -> None:
    assert to_codes(1.0, FMT).shape == ()
    assert to_codes(np.zeros((0, 3)), FMT).shape == (0, 3)
    assert to_codes([], FMT).shape == (0,)
    assert requantize(np.int64(3), 0, 1, 8, True, "AP_TRN", "AP_SAT").shape == ()
    assert from_codes(np.zeros((2, 0), int), FMT).shape == (2, 0)
    assert from_codes([], FMT).shape == (0,)


def test_no_float32_accident() -> None:
    below_half = np.float32(0.49999997)
    assert np.float32(below_half + np.float32(0.5)) == 1.0  # what adding one half would do
    assert to_codes(below_half, FixedPointFormat(8, 8), "AP_RND") == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("flush", [False, True])
def test_subnormals_are_no_zeros(dtype: Any, flush: bool) -> None:
    """Also where another library has told the processor to take them for zero."""
    torch = pytest.importorskip("torch")
    least = np.finfo(dtype).smallest_subnormal
    x = np.array([0.0, least, -least, 7 * least, -7 * least, -0.0, np.finfo(dtype).tiny])
    x = x.astype(dtype)
    lsb = 2 * least
    bits = -round(float(np.log2(float(lsb)))) if dtype == np.float32 else 1073
    halved = [0, 0, -1, 3, -4, 0, 63]  # in units of two of the least steps
    torch.set_flush_denormal(flush)
    try:
        down = cast_codes(x, 4, 7, True, "AP_TRN", "AP_SAT")
        up = cast_codes(x, 4, 7, True, "AP_RND_INF", "AP_SAT")
        near = cast_codes(x, bits, 7, True, "AP_TRN", "AP_SAT")
        one = cast_codes(x[2], 4, 7, True, "AP_TRN", "AP_SAT")
    finally:
        torch.set_flush_denormal(False)
    assert down.tolist() == [0, 0, -1, 0, -1, 0, 0] and int(one) == -1
    assert up.tolist() == [0] * 7
    assert near.tolist() == halved


def test_float32_keeps_its_bits_under_many_fractional_bits() -> None:
    x = np.array([0.1, -0.1], dtype=np.float32)
    fmt = FixedPointFormat(40, 2)
    assert to_codes(x, fmt).tolist() == [int(float(v) * 2**38) for v in x]
    assert quantize(x, fmt).tolist() == x.tolist()


def test_large_integers_are_exact() -> None:
    codes = to_codes(np.array([2**61 - 1, 2**62]), FixedPointFormat(62, 62), "AP_TRN", "AP_WRAP")
    assert codes.tolist() == [2**61 - 1, 0]
    assert to_codes(2**62 + 3, FixedPointFormat(8, 8), "AP_TRN", "AP_WRAP") == 3


def test_the_caller_keeps_its_array() -> None:
    x = np.array([1, 200, -300])
    for overflow in OverflowMode:
        to_codes(x, FixedPointFormat(8, 8), "AP_TRN", overflow)
        assert x.tolist() == [1, 200, -300]


def test_a_binary_point_per_channel() -> None:
    x = np.array([[0.3, 0.3], [-0.3, 5.0]])
    points = np.array([[2], [4]])
    assert cast_codes(x, points, 6, True, "AP_RND", "AP_SAT").tolist() == [[1, 1], [-5, 31]]
    codes = np.array([[19, 19], [-19, 320]])
    mixed = requantize(codes, 6, points, 6, True, "AP_RND", "AP_SAT")
    assert mixed.tolist() == [[1, 1], [-5, 31]]


def test_every_kind_of_shift_at_once() -> None:
    shifts = np.array([-70, -64, -63, -1, 0, 1, 62, 63, 64, 65, 200])
    for code in (-(2**63), -1, 1, 2**63 - 1, 3 << 40):
        for rounding in RoundingMode:
            at_once = requantize(code, shifts, 0, 62, True, rounding, "AP_WRAP_SM")
            each = [
                int(requantize(code, s, 0, 62, True, rounding, "AP_WRAP_SM"))
                for s in shifts.tolist()
            ]
            assert at_once.tolist() == each


def test_values_of_codes() -> None:
    assert from_codes([-128, 1, 127], FMT).tolist() == [-4.0, 0.03125, 3.96875]
    assert from_codes([3], FixedPointFormat(4, 9)).tolist() == [96.0]
    assert from_codes(np.int8(5), FMT, np.float16).dtype == np.float16


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_quantize_keeps_the_float_type(dtype: type) -> None:
    y = quantize(np.array([0.3, -9.0], dtype=dtype), FMT)
    assert y.dtype == dtype
    assert y.tolist() == [0.3125, -4.0]


def test_quantize_of_integers_is_float64() -> None:
    assert quantize([1, 9], FMT).dtype == np.float64


def test_format_methods_are_the_functions() -> None:
    assert FMT.to_codes([0.3]).tolist() == [10]
    assert FMT.from_codes([10]).tolist() == [0.3125]
    assert FMT.quantize([0.3], "AP_TRN", "AP_WRAP").tolist() == [0.28125]


NAN, INF = float("nan"), float("inf")
WIDE = FixedPointFormat(63, 3)
EIGHT = (8, True, "AP_RND", "AP_SAT")


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: to_codes([[0.0, NAN], [INF, 1.0]], FMT),
            DataError,
            "x must be finite: 2 of 4 values are NaN or infinite, the first is nan at index (0, 1)",
        ),
        (
            lambda: quantize(np.float32(-INF), FMT),
            DataError,
            "x must be finite: 1 of 1 values are NaN or infinite, the first is -inf",
        ),
        (
            lambda: to_codes(1j, FMT),
            DataError,
            "x must hold float16, float32, float64 or integers, not complex128",
        ),
        (
            lambda: to_codes(["1"], FMT),
            DataError,
            "x must hold float16, float32, float64 or integers, not <U1",
        ),
        (
            lambda: to_codes(np.array([1, 2**63], np.uint64), FMT),
            DataError,
            "x must fit a signed 64-bit integer, not 9223372036854775808",
        ),
        (
            lambda: to_codes(1.0, WIDE),
            FormatError,
            "width must be 1 to 62 bits in array functions, not 63",
        ),
        (
            lambda: to_codes(1, WIDE),
            FormatError,
            "width must be 1 to 62 bits in array functions, not 63",
        ),
        (
            lambda: to_codes(1.0, FMT, "RND_CONV"),
            ModeError,
            "rounding mode must be one of AP_TRN, AP_TRN_ZERO, AP_RND, AP_RND_ZERO, AP_RND_INF, "
            "AP_RND_MIN_INF, AP_RND_CONV, not 'RND_CONV'; did you mean 'AP_RND_CONV'?",
        ),
        (
            lambda: to_codes(1.0, FMT, "AP_RND", "SATURATE"),
            ModeError,
            "overflow mode must be one of AP_WRAP, AP_SAT, AP_SAT_SYM, AP_SAT_ZERO, AP_WRAP_SM, "
            "not 'SATURATE'",
        ),
        (
            lambda: from_codes([0, 128], FMT),
            DataError,
            "codes of ap_fixed<8,3> must be within -128..127, not 128 at index 1",
        ),
        (lambda: from_codes([0.5], FMT), DataError, "codes must be integers, not float64"),
        (
            lambda: from_codes([[1, 2049]], FixedPointFormat(16, 16), np.float16),
            FormatError,
            "float16 cannot hold code 2049 of ap_fixed<16,16> exactly at index (0, 1); "
            "use a wider float type or integer codes",
        ),
        (
            lambda: from_codes([1], FMT, int),
            FormatError,
            "dtype must be float16, float32 or float64, not int64",
        ),
        (
            lambda: from_codes([1], FixedPointFormat(8, -2000)),
            FormatError,
            "float64 cannot hold code 1 of ap_fixed<8,-2000> exactly at index 0; "
            "use a wider float type or integer codes",
        ),
        (
            lambda: requantize([1.0], 0, 0, *EIGHT),
            DataError,
            "codes must be integers, not float64",
        ),
        (
            lambda: requantize([1], 0.5, 0, *EIGHT),
            FormatError,
            "from_frac_bits must be an integer or an integer array, not 0.5",
        ),
        (
            lambda: requantize([1], 0, np.array([1, -(2**40)]), *EIGHT),
            FormatError,
            "to_frac_bits must fit 32 bits, not -1099511627776",
        ),
        (
            lambda: requantize([1], 0, 0, 0, True, "AP_RND", "AP_SAT"),
            FormatError,
            "width must be 1 to 62 bits in array functions, not 0",
        ),
        (
            lambda: requantize([1], 0, 0, "8", True, "AP_RND", "AP_SAT"),
            FormatError,
            "width must be an integer, not '8'",
        ),
        (
            lambda: wrap_or_saturate([1.0, 1.5], 4, True, "AP_SAT"),
            DataError,
            "codes must be whole numbers, not 1.5 at index 1",
        ),
        (
            lambda: wrap_or_saturate([NAN], 4, True, "AP_SAT"),
            DataError,
            "codes must be whole numbers, not nan at index 0",
        ),
    ],
)
def test_errors(call: Any, kind: type[QfxError], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


@pytest.mark.parametrize("rounding", RoundingMode)
@pytest.mark.parametrize("overflow", OverflowMode)
def test_codes_of_any_size_are_cast_as_one_by_one(rounding, overflow):
    """Python's integers in an array, whose shifts and sums no int64 holds."""
    codes = np.array([sign * ((5 << shift) + low) for sign in (1, -1) for low in (-1, 0, 1)
                      for shift in (1, 40, 61, 70, 90)], dtype=object)  # fmt: skip
    points = np.array([[0], [41], [71], [200]])
    found = requantize(codes, points, 3, 7, True, rounding, overflow)
    fmt = FixedPointFormat.from_frac_bits(7, 3, True)
    for row, (point,) in zip(found, points.tolist(), strict=True):
        exact = [Fraction(int(code), 1 << point) for code in codes]
        assert row.tolist() == [cast_code(value, fmt, rounding, overflow) for value in exact]


@pytest.mark.parametrize("overflow", OverflowMode)
def test_points_give_the_shape_even_where_nothing_moves(overflow):
    found = requantize([[3], [99]], 1, np.array([1, 1, 1]), 4, True, "AP_TRN", overflow)
    assert found.tolist() == [[row[0]] * 3 for row in requantize(
        [[3], [99]], 1, 1, 4, True, "AP_TRN", overflow
    ).tolist()]  # fmt: skip
