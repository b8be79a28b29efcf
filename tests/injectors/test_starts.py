"""Where binary points start, against a search that knows nothing of how it is done."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import pytest
import torch

from brevitas_quantizers import FixedPointFormat, QFXFixedPoint, learned_formats
from brevitas_quantizers.autograd import fixed_point_cast, khot_cast
from brevitas_quantizers.fixed_point import Interval, khot_codes


def start(values, **options) -> FixedPointFormat:
    layer = qnn.QuantIdentity(act_quant=QFXFixedPoint, **options)
    layer(torch.as_tensor(values, dtype=torch.float32))
    return learned_formats(layer)["act"]


@pytest.mark.parametrize("power", [1, 2, 3, 5])
@pytest.mark.parametrize("bits", [3, 4, 6])
def test_mse_finds_the_least_error_up_to_three_bits_finer(power, bits, rng):
    """The heavier the tail, the finer; every step of the search is taken by one of these."""
    values = (rng.normal(size=4000) ** power).astype(np.float32)
    covering = start(values, bit_width=bits, binary_point_init="max").frac_bits
    errors = {}
    for frac_bits in range(covering - 1, covering + 4):
        fmt = FixedPointFormat.from_frac_bits(bits, frac_bits)
        errors[frac_bits] = float(((fmt.quantize(values) - values.astype(float)) ** 2).sum())
    assert start(values, bit_width=bits).frac_bits == min(errors, key=errors.__getitem__)


@pytest.mark.parametrize("finer", [0, 1, 2, 3])
def test_each_finer_step_is_taken(finer):
    """Many values on the fine grid, and one that needs the whole range."""
    values = np.concatenate([np.tile([1.0, -3.0, 5.0, 7.0], 5000), [7.0 * 2**finer]])
    assert start(values, bit_width=4).frac_bits == 0
    assert start(values, bit_width=4, binary_point_init="max").frac_bits == -finer


@pytest.mark.parametrize("overflow", ["AP_WRAP", "AP_SAT_ZERO"])
def test_one_bit_coarser_where_the_largest_would_overflow_by_rounding(overflow):
    assert start([7.5, 6.0, 2.0], bit_width=4, overflow=overflow).frac_bits == -1
    assert start([7.5, 6.0, 2.0], bit_width=4).frac_bits == 0


@pytest.mark.parametrize(("values", "integer_bits"), [(1000, 1), (999, 10), (2000, 1)])
def test_percentile_counts_one_in_a_thousand_and_no_more(values, integer_bits):
    x = np.concatenate([np.full(values - values // 1000, 0.9), np.full(values // 1000, 300.0)])
    if values == 999:
        x = np.concatenate([x[:-1], [300.0]])
    assert start(x, binary_point_init="percentile").integer_bits == integer_bits


def test_zero_where_out_of_range_tells_the_width_nothing():
    x = torch.tensor([20.0, -20.0, 3.0])
    for overflow, moves in (("AP_SAT_ZERO", False), ("AP_SAT", True)):
        width = torch.tensor(4.0, requires_grad=True)
        y = fixed_point_cast(x, torch.tensor(0.0), width, True, "AP_RND_CONV", overflow)
        (y * torch.tensor([1.0, 2.0, 4.0])).sum().backward()
        assert (width.grad.item() != 0) == moves
    assert y.tolist() == [7.0, -8.0, 3.0]


def test_k_hot_gradients_reach_to_half_a_step_beyond_both_ends():
    codes = torch.tensor(khot_codes(6, True, 2, "signed"), dtype=torch.float32)
    lowest, highest = float(codes[0]), float(codes[-1])
    x = torch.tensor(
        [
            lowest - 0.75,
            lowest - 0.5,
            lowest,
            lowest + 0.25,
            highest,
            highest + 0.5,
            highest + 0.75,
        ],
        requires_grad=True,
    )
    khot_cast(x, torch.tensor(0.0), codes).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(("terms", "power"), [(3, 31), (1, 62), (5, 31), (2, 31), (7, 30)])
def test_products_that_leave_64_bits_are_counted_exactly(terms, power):
    weights, top = [2**31] * terms, 2 ** (power - 0)
    assert Interval(-top, top).dot(weights).max_code == terms * 2 ** (31 + power)
    assert Interval(-top, top).dot_partial(weights).min_code == -terms * 2 ** (31 + power)
