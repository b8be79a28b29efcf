"""Gradients against the closed form, and against finite differences of the surrogate.

The surrogate is what the straight-through estimator differentiates: rounding is replaced by its
first-order behaviour around the point, `round(r(F)) ~ q + (r(F) - r(F0))`, clipped to the range.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from brevitas_quantizers.autograd import fixed_point_cast, khot_cast
from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
    khot_codes,
)

WIDTH, POINT = 5, 3


def sample(rng: np.random.Generator) -> torch.Tensor:
    """Values in, at and beyond the range of the 5-bit format, none on a rounding boundary."""
    codes = rng.integers(-40, 41, 500) + rng.uniform(-0.4, 0.4, 500)
    return torch.tensor(codes * 2.0**-POINT, dtype=torch.float64)


def gradients(x, rounding, overflow, signed, upstream):
    x = x.clone().requires_grad_()
    point = torch.tensor(float(POINT), dtype=torch.float64, requires_grad=True)
    y = fixed_point_cast(x, point, WIDTH, signed, rounding, overflow)
    y.backward(upstream)
    return y.detach(), x.grad, point.grad


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("overflow", OverflowMode)
@pytest.mark.parametrize("rounding", RoundingMode)
def test_closed_form(rounding, overflow, signed, rng):
    x = sample(rng)
    upstream = torch.tensor(rng.normal(size=x.shape))
    y, grad_x, grad_point = gradients(x, rounding, overflow, signed, upstream)
    fmt = FixedPointFormat.from_frac_bits(WIDTH, POINT, signed)
    r = x.numpy() * 2.0**POINT
    wide = FixedPointFormat.from_frac_bits(30, POINT)
    rounded = wide.to_codes(x.numpy(), rounding)
    lo = fmt.min_code + int(overflow is OverflowMode.AP_SAT_SYM and signed)
    wraps = overflow is OverflowMode.AP_WRAP or (overflow.wraps and signed)
    inside = ((rounded >= lo) & (rounded <= fmt.max_code)) | wraps
    q = fmt.to_codes(x.numpy(), rounding, overflow)
    np.testing.assert_array_equal(grad_x.numpy(), np.where(inside, upstream.numpy(), 0.0))
    slope = math.log(2) * 2.0**-POINT * (np.where(inside, r, 0.0) - q)
    assert grad_point.item() == pytest.approx(np.sum(upstream.numpy() * slope), rel=1e-12)
    np.testing.assert_array_equal(y.numpy() * 2.0**POINT, q)


@pytest.mark.parametrize("overflow", [OverflowMode.AP_SAT, OverflowMode.AP_SAT_SYM])
@pytest.mark.parametrize("rounding", RoundingMode)
def test_finite_differences_of_the_surrogate(rounding, overflow, rng):
    x = sample(rng)
    upstream = torch.tensor(rng.normal(size=x.shape))
    _, grad_x, grad_point = gradients(x, rounding, overflow, True, upstream)
    fmt = FixedPointFormat.from_frac_bits(WIDTH, POINT)
    lo = fmt.min_code + int(overflow is OverflowMode.AP_SAT_SYM)
    code = FixedPointFormat.from_frac_bits(30, POINT).to_codes(x.numpy(), rounding)
    offset = code - x.numpy() * 2.0**POINT  # what rounding added, held constant
    saturated = np.where(code > fmt.max_code, fmt.max_code, lo)
    inside = (code >= lo) & (code <= fmt.max_code)

    def surrogate(values, point):
        q = np.where(inside, values * 2.0**point + offset, saturated)
        return q * 2.0**-point

    step = 1e-6
    by_point = (surrogate(x.numpy(), POINT + step) - surrogate(x.numpy(), POINT - step)) / 2 / step
    by_x = (surrogate(x.numpy() + step, POINT) - surrogate(x.numpy() - step, POINT)) / 2 / step
    np.testing.assert_allclose(grad_x.numpy(), upstream.numpy() * by_x, atol=1e-8)
    assert grad_point.item() == pytest.approx(np.sum(upstream.numpy() * by_point), abs=1e-6)


def test_gradient_is_reduced_to_the_shape_of_the_binary_points(rng):
    x = torch.tensor(rng.normal(size=(4, 3, 2)))
    shared = torch.zeros((), dtype=torch.float64, requires_grad=True)
    split = torch.zeros(1, 3, 1, dtype=torch.float64, requires_grad=True)
    fixed_point_cast(x, shared, 4).sum().backward()
    fixed_point_cast(x, split, 4).sum().backward()
    assert split.grad.shape == (1, 3, 1)
    assert split.grad.sum().item() == pytest.approx(shared.grad.item())


def test_learned_width_moves_the_bounds_outward():
    x = torch.tensor([100.0, -100.0, 0.5], dtype=torch.float64)
    width = torch.tensor(4.2, dtype=torch.float64, requires_grad=True)
    point = torch.tensor(0.0, dtype=torch.float64)
    y = fixed_point_cast(x, point, width)
    assert y.tolist() == [7.0, -8.0, 0.0]
    y.backward(torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64))
    assert width.grad.item() == pytest.approx(math.log(2) * 8 * (1 + 2))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("overflow", OverflowMode)
@pytest.mark.parametrize("rounding", RoundingMode)
def test_relu_in_the_cast_equals_relu_before_it(rounding, overflow, signed, rng):
    x = torch.cat([sample(rng), torch.arange(-80, 81, dtype=torch.float64) / 32])  # ties, zero
    upstream = torch.tensor(rng.normal(size=x.shape))
    results = []
    for inside in (True, False):
        leaf = x.clone().requires_grad_()
        point = torch.tensor(float(POINT), dtype=torch.float64, requires_grad=True)
        value = leaf if inside else torch.relu(leaf)
        y = fixed_point_cast(value, point, WIDTH, signed, rounding, overflow, relu=inside)
        y.backward(upstream)
        results.append((y.detach(), leaf.grad, point.grad))
    (y, grad_x, grad_point), expected = results
    assert torch.equal(y, expected[0])
    assert torch.equal(grad_x, expected[1])
    assert grad_point.item() == pytest.approx(expected[2].item(), rel=1e-12)


def test_khot_gradients():
    codes = torch.tensor(khot_codes(5, True, 1, "signed"), dtype=torch.float64)
    x = torch.tensor([0.9, 2.9, 13.0, 30.0, -40.0], dtype=torch.float64, requires_grad=True)
    point = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    y = khot_cast(x, point, codes)
    assert y.tolist() == [1.0, 2.0, 8.0, 8.0, -16.0]
    y.sum().backward()
    inside = [1.0, 1.0, 0.0, 0.0, 0.0]
    assert x.grad.tolist() == inside
    slope = [i * v - q for i, v, q in zip(inside, x.tolist(), y.tolist(), strict=True)]
    assert point.grad.item() == pytest.approx(math.log(2) * sum(slope))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # dynamo
def test_compiled_forward_and_backward_equal_eager(rng):
    def step(x, point):
        return fixed_point_cast(x, point, 4, True, "AP_RND", "AP_SAT")

    x = torch.tensor(rng.normal(size=(8, 8)), dtype=torch.float32)
    results = []
    for run in (step, torch.compile(step, fullgraph=True, backend="aot_eager")):
        leaf, point = x.clone().requires_grad_(), torch.tensor(2.0, requires_grad=True)
        y = run(leaf, point)
        y.square().sum().backward()
        results.append((y.detach(), leaf.grad, point.grad))
    for eager, compiled in zip(*results, strict=True):
        assert torch.equal(eager, compiled)
