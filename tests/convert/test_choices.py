"""Comparisons and choices by them: exact on every executor, and the float network's but at ties."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brevitas_quantizers import learned_formats, quantize
from brevitas_quantizers.fixed_point import ConversionError
from tests.convert.helpers import converted, prove
from tests.convert.test_operations import Around, other


def second(m, y):
    return m.other(F.relu(y))


CHOICES = {
    "times a comparison": lambda m, y: y * (y > 0),
    "comparison as numbers": lambda m, y: (y >= 0.25).to(y.dtype) - y.gt(0.5).float(),
    "where, zeros": lambda m, y: torch.where(y.detach() > 0, y, torch.zeros_like(y)),
    "where, another tensor": lambda m, y: torch.where(y <= -0.1, second(m, y), y),
    "where, numbers": lambda m, y: torch.where(y > 0, 1.5, -0.5),
    "x.where": lambda m, y: y.where(y < 0.5, 0.25),
    "of two tensors": lambda m, y: torch.where(torch.less(second(m, y), y), y, 0.0),
    "masked_fill": lambda m, y: y.masked_fill(y < 0, -0.25),
    "logic": lambda m, y: y * (((y > -0.5) & (y < 0.5)) | ~(y < 1)),
    "logical_xor, not": lambda m, y: torch.logical_not(torch.logical_xor(y > -1, y > 1)) * y,
    "equal": lambda m, y: (F.relu(y) == 0) + y,
    "not equal": lambda m, y: torch.where(F.relu(y) != 0, y, 1.0),
    "F.threshold": lambda m, y: F.threshold(y, 0.1, 2),
    "nn.Threshold": lambda m, y: m.step(y),
    "sign": lambda m, y: y.sign(),
    "a mask of channels": lambda m, y: y * (y.mean((2, 3), keepdim=True) > 0),
    "a mask that moves": lambda m, y: y * (y[:, 0] > 0).unsqueeze(1),
    "a constant tensor": lambda m, y: y * (y > m.other.bias.view(1, -1, 1, 1)),
    "a small number": lambda m, y: y * (y > 0.01),
}


def around(name: str) -> nn.Module:
    return Around(CHOICES[name], step=nn.Threshold(0.1, -1.0), **other())


@pytest.mark.filterwarnings("ignore:quantize. .* are not used in forward")
@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_exact(name, torch_seed):
    network, x = around(name), torch.randn(6, 3, 8, 8)
    prove(converted(network, x, bit_width=6), x)
    found, wanted = converted(network, x, bit_width=16)(x), network.eval()(x)
    assert ((found - wanted).abs() < 2e-3).float().mean() > 0.99


@pytest.mark.parametrize("equal", [False, True], ids=["unequal", "equal"])
@pytest.mark.parametrize("below", [False, True], ids=["above", "below"])
@pytest.mark.parametrize("limit", [0.0, 0.5, -1.25, 3.0])
def test_a_comparison_holds_at_the_number_or_not(limit, below, equal):
    compare = {(0, 0): torch.gt, (0, 1): torch.ge, (1, 0): torch.lt, (1, 1): torch.le}

    class Compared(nn.Module):
        def forward(self, x):
            return compare[below, equal](x, limit)

    x = torch.arange(-128, 128).reshape(-1, 1) / 32.0
    model = quantize(Compared(), input_integer_bits=3).eval()
    assert torch.equal(model(x), compare[below, equal](x, limit).float())


def test_a_product_with_a_comparison_adds_no_cast(torch_seed):
    model = converted(Around(CHOICES["times a comparison"]), torch.randn(6, 3, 8, 8))
    acts = [name for name in learned_formats(model) if name.endswith(".act")]
    assert acts == ["x_quant.act", "first_quant.act", "gt.1.act"]


def test_a_comparison_trains_what_is_compared(torch_seed):
    model = converted(Around(lambda m, y: (y > 0.1).float()), torch.randn(6, 3, 8, 8)).train()
    model(torch.randn(6, 3, 8, 8)).sum().backward()
    assert model.get_parameter("first.weight").grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda m, y: torch.where(y, y, 0.0), "where: has no fixed-point form"),
        (lambda m, y: y.masked_fill_(y > 0, 0.0), "masked_fill: has no fixed-point form"),
        (lambda m, y: y > float("nan"), "what is compared with must be a finite number, not nan"),
    ],
)
def test_what_is_no_choice_is_refused(function, text):
    with pytest.raises(ConversionError, match=text):
        quantize(Around(function))
