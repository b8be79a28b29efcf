"""The torch casts equal the NumPy ones, code by code, and know their range."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brevitas_quantizers.autograd import exact_exp2, fixed_point_cast, khot_cast
from brevitas_quantizers.autograd.modes import code_bounds, range_limits, round_codes_
from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    FormatError,
    OverflowMode,
    RoundingMode,
    khot_codes,
    project_khot,
    to_codes,
)


def quarter_lsb_grid(width: int, frac_bits: int) -> np.ndarray:
    """Every quarter LSB, so all ties, over several times the range of a format."""
    return np.arange(-(2 ** (width + 4)), 2 ** (width + 4) + 1) / 4 * 2.0**-frac_bits


@pytest.mark.parametrize("overflow", OverflowMode)
@pytest.mark.parametrize("rounding", RoundingMode)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cast_equals_numpy(rounding, overflow, dtype):
    for signed in (True, False):
        for width in (2, 3, 5, 8):
            for frac_bits in (-3, 0, 5, 12):
                x = quarter_lsb_grid(width, frac_bits)
                fmt = FixedPointFormat.from_frac_bits(width, frac_bits, signed)
                point = torch.tensor(float(frac_bits), dtype=dtype)
                y = fixed_point_cast(
                    torch.tensor(x, dtype=dtype), point, width, signed, rounding, overflow
                )
                codes = y.double().numpy() * 2.0**frac_bits
                np.testing.assert_array_equal(codes, to_codes(x, fmt, rounding, overflow))


@pytest.mark.parametrize("overflow", OverflowMode)
def test_cast_of_values_next_to_ties_and_far_outside(overflow, rng):
    ties = rng.integers(-300, 300, 4000) + 0.5
    near = np.concatenate([np.nextafter(ties.astype("f4"), np.float32(s)) for s in (-1e9, 1e9)])
    far = np.float32([1e30, -1e30, 3e38, -3e38, 2.0**40, -(2.0**40) - 2.0**20, 1e-40, -1e-40])
    x = np.concatenate([near, far, np.float32([0.49999997, -0.49999997])])
    for rounding in RoundingMode:
        for frac_bits in (0, 3):
            fmt = FixedPointFormat.from_frac_bits(8, frac_bits)
            y = fixed_point_cast(
                torch.from_numpy(x), torch.tensor(float(frac_bits)), 8, True, rounding, overflow
            )
            codes = y.double().numpy() * 2.0**frac_bits
            np.testing.assert_array_equal(codes, to_codes(x, fmt, rounding, overflow))


@pytest.mark.parametrize("overflow", OverflowMode)
@pytest.mark.parametrize("rounding", RoundingMode)
def test_in_range_is_the_set_of_codes_that_need_no_overflow(rounding, overflow):
    for signed in (True, False):
        for width in (2, 3, 6):
            r = torch.from_numpy(quarter_lsb_grid(width, 0))
            lo, hi = code_bounds(width, signed, overflow)
            code = round_codes_(r.clone(), rounding)
            limits = range_limits(lo, hi, signed, rounding, overflow)
            if limits is None:
                assert overflow.wraps
            else:
                assert torch.equal(limits.contains(r), (code >= lo) & (code <= hi))


def test_per_channel_binary_points_broadcast():
    x = torch.linspace(-2, 2, 24).reshape(4, 6)
    points = torch.tensor([[0.0], [1.0], [4.0], [6.4]])
    y = fixed_point_cast(x, points, 6)
    for row, point in enumerate((0, 1, 4, 6)):
        fmt = FixedPointFormat.from_frac_bits(6, point)
        np.testing.assert_array_equal(y[row].numpy(), fmt.quantize(x[row].numpy()))


def test_exact_exp2_is_exact_over_the_normal_range():
    for dtype, low, high in ((torch.float32, -126, 127), (torch.float64, -1022, 1023)):
        exponents = torch.arange(low, high + 1, dtype=dtype)
        expected = np.ldexp(1.0, np.arange(low, high + 1))
        np.testing.assert_array_equal(exact_exp2(exponents).double().numpy(), expected)


@pytest.mark.parametrize("digits", ["signed", "binary"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_khot_cast_is_the_nearest_khot_code(k, digits):
    for width, signed in ((4, True), (8, True), (7, False)):
        r = quarter_lsb_grid(width, 0)
        codes = khot_codes(width, signed, k, digits)
        for dtype in (torch.float32, torch.float64):
            table = torch.tensor(codes, dtype=dtype)
            y = khot_cast(torch.tensor(r, dtype=dtype), torch.tensor(0.0, dtype=dtype), table)
            expected = project_khot(r, width, signed, k, digits)
            np.testing.assert_array_equal(y.double().numpy(), expected)


def test_khot_cast_is_idempotent():
    table = torch.tensor(khot_codes(8, True, 2, "signed"), dtype=torch.float32)
    once = khot_cast(torch.randn(1000), torch.tensor(5.0), table)
    assert torch.equal(khot_cast(once, torch.tensor(5.0), table), once)


def test_width_beyond_the_mantissa_is_refused():
    with pytest.raises(FormatError) as error:
        fixed_point_cast(torch.zeros(1), torch.tensor(0.0), 26)
    assert str(error.value) == (
        "a width of 26 bits does not fit the 24-bit mantissa of torch.float32: "
        "call .double() on the model and its inputs"
    )
    x = torch.tensor([2.0**24 + 1], dtype=torch.float64)
    assert torch.equal(fixed_point_cast(x, torch.tensor(0.0, dtype=torch.float64), 26), x)


def test_other_dtypes_are_refused():
    with pytest.raises(FormatError) as error:
        fixed_point_cast(torch.zeros(1, dtype=torch.float16), torch.tensor(0.0), 8)
    assert str(error.value) == ("fixed-point casts run in float32 or float64, not torch.float16")
