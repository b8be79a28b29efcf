"""Thermometer and fractional convolution against the formulas of the paper, number by number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from qfx_plugin.fracbnn.layers import FractionalConv2d, Thermometer


def paper_conv(x, weight, threshold, stride):
    """As in the paper: quantize, both convolutions in floats, gate by comparison."""
    sign = torch.where(weight > 0, 1.0, -1.0).double()
    two_bit = torch.round((x.double().clamp(-1, 1) + 1) * 1.5) / 1.5 - 1
    high = F.conv2d(two_bit.sign(), sign, stride=stride, padding=1) * 2 / 3
    full = F.conv2d(two_bit, sign, stride=stride, padding=1)
    return torch.where(high > threshold.double().view(1, -1, 1, 1), full, high)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frac_bits", [0, 3, 7])
def test_fractional_convolution(stride, frac_bits, rng):
    weight = torch.tensor(rng.normal(size=(5, 3, 3, 3)), dtype=torch.float32)
    weight[0, 0, 0, 0] = 0.0  # counts as -1
    threshold = torch.tensor(rng.uniform(-3, 3, 5), dtype=torch.float32)
    codes = rng.integers(-(2**7), 2**7, (8, 3, 6, 6))
    x = torch.tensor(codes * 2.0**-frac_bits, dtype=torch.float32)
    layer = FractionalConv2d(weight.numpy(), threshold.numpy(), stride).eval()
    wanted = 3 * paper_conv(x, weight, threshold, stride)
    assert (wanted.round() - wanted).abs().max() < 1e-6
    assert torch.equal(layer(x).double(), wanted.round())
    gated = (wanted.round() % 2).abs().mean()  # 3 times the ungated result is even
    assert gated > 0


def test_training_computes_the_same_and_has_gradients(rng):
    weight = rng.normal(size=(4, 2, 3, 3)).astype(np.float32)
    layer = FractionalConv2d(weight, np.full(4, 0.4, np.float32))
    x = torch.tensor(rng.uniform(-2, 2, (2, 2, 5, 5)), dtype=torch.float32, requires_grad=True)
    y = layer.train()(x)
    assert torch.equal(y, layer.eval()(x))
    layer.train()(x).square().sum().backward()
    inside, outside = x.abs() < 1.3, x.abs() > 1.4
    assert (x.grad[inside] != 0).float().mean() > 0.9
    assert (x.grad[outside] == 0).all()


def test_thermometer_counts_levels():
    layer = Thermometer(colours=3, levels=32).eval()
    pixels = np.arange(256, dtype=np.float64)
    image = torch.tensor(np.broadcast_to(pixels, (1, 3, 1, 256)) / 256, dtype=torch.float32)
    got = layer(image)[0].numpy()
    filled = np.rint(pixels / 8)  # a tie goes to the even number
    wanted = np.where(np.arange(32)[:, None] < filled, 1.0, -1.0)
    for colour in range(3):
        np.testing.assert_array_equal(got[32 * colour : 32 * colour + 32, 0], wanted)
