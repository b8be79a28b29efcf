"""Softmax and norms: every code against exact rationals, the error against float64, gradients."""

from __future__ import annotations

import math
from fractions import Fraction

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, learned_formats
from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    FormatError,
    OptionError,
    cast_code,
)
from brevitas_quantizers.nn import QuantLayerNorm, QuantNormalise, QuantRMSNorm, QuantSoftmax
from brevitas_quantizers.nn.exact_functions import exp, rsqrt

SMALL = {"input_bit_width": 6, "input_frac_bits": 3, "output_bit_width": 8, "output_frac_bits": 8}
NEAREST = "AP_RND_CONV", "AP_SAT"


def cast(value: Fraction, width: int, frac_bits: int, rounding: str = NEAREST[0]) -> Fraction:
    """The unsigned cast of a number, by the scalar reference."""
    fmt = FixedPointFormat.from_frac_bits(width, frac_bits, signed=False)
    return cast_code(value, fmt, rounding, "AP_SAT") * Fraction(2) ** -frac_bits


def softmax_reference(row: list[Fraction], exp_bits: int, keep: list[bool]) -> list[Fraction]:
    """The definition, one number at a time; formats of `SMALL`."""
    top = max([x for x, shown in zip(row, keep, strict=True) if shown], default=Fraction(-4096))
    powers = [
        cast(exp(-cast(top - x, 6, 3), 64), exp_bits + 1, exp_bits) * shown
        for x, shown in zip(row, keep, strict=True)
    ]
    total = sum(powers, Fraction(0))
    power = Fraction(1, 1 << (max(int(cast(total, 12, 0, "AP_TRN")), 1).bit_length() - 1))
    rest = cast(total * power - 1, 10, 10)
    inverse = cast(cast(1 / (1 + rest), 13, 12) * power, 13, 12)
    return [cast(value * inverse, 8, 8) for value in powers]


@pytest.mark.parametrize("masked", [False, True])
def test_softmax_is_its_definition_and_near_float64(masked, rng):
    codes = rng.integers(-20, 20, (200, 3, 5))
    keep = rng.random((3, 5)) > 0.3 if masked else np.ones((3, 5), bool)
    if masked:
        keep[0], keep[1:, 0] = False, True  # one row with nothing in it, the others with something
    layer = QuantSoftmax(exp_bits=10, mask=torch.tensor(keep) if masked else None, **SMALL).eval()
    found = layer(torch.tensor(codes / 8, dtype=torch.float32)).detach().double().numpy()
    for sample, row in np.ndindex(50, 3):
        numbers = [Fraction(int(code), 8) for code in codes[sample, row]]
        expected = softmax_reference(numbers, 10, list(keep[row]))
        assert list(map(Fraction, found[sample, row])) == expected
    scores = torch.tensor(codes / 8).masked_fill(~torch.tensor(keep), -torch.inf)
    smooth = torch.nan_to_num(torch.softmax(scores, -1)).numpy()
    bound = 0.5 * 2**-8 + 3 * 2**-12 + 6 * 2**-11 + 2**-8 * (smooth > 1 - 2**-8)  # 1 saturates
    assert (np.abs(found - smooth) <= bound).all()
    assert not found[:, ~keep].any()


def norm_reference(codes: list[int]) -> list[Fraction]:
    """An RMS norm of codes by the definition, before its last cast."""
    squares = Fraction(sum(code * code for code in codes))
    upper = int(cast(squares, 12, -12, "AP_TRN") / 4096)
    halving = Fraction(1, 1 << -(-upper.bit_length() // 2))
    scaled = int(cast(squares * halving * halving, 12, 0))
    root = Fraction(rsqrt(Fraction(max(scaled, 1), len(codes)), 64))
    exponent = math.frexp(root)[1]
    short = round(root * Fraction(2) ** (12 - exponent)) * Fraction(2) ** (exponent - 12)
    return [code * short * halving for code in codes]


@pytest.mark.parametrize("spread", [1, 30, 1500])
def test_a_norm_is_its_definition_and_near_float64(spread, rng):
    """From sums that one table holds to sums of 24 bits."""
    codes = rng.integers(-spread, spread, (300, 6))
    codes[0] = 0
    fixed = {"input_bit_width": 12, "input_frac_bits": 4, "output_bit_width": 14}
    layer = QuantNormalise((-1,), 6, centred=False, eps=0.0, output_frac_bits=10, **fixed).eval()
    x = torch.tensor(codes / 16, dtype=torch.float64)
    found = layer.double()(x).detach().numpy()
    fmt = FixedPointFormat.from_frac_bits(14, 10)
    for row, result in zip(codes[:100], found, strict=False):
        expected = [cast_code(value, fmt, *NEAREST) for value in norm_reference(row.tolist())]
        assert (result * 1024).tolist() == expected
    smooth = x / x.square().mean(-1, keepdim=True).sqrt()
    smooth = torch.nan_to_num(smooth).numpy()
    assert (np.abs(found - smooth) <= np.abs(smooth) * 2**-11 + 2**-11).all()


class Net(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(QFXFixedPoint, bit_width=16)
        self.layer = layer

    def forward(self, x):
        return self.layer(self.entry(x))


WIDE = {"quant": QFXFixedPoint, "input_bit_width": 12, "output_bit_width": 16}
TWINS = {
    "softmax": (lambda: QuantSoftmax(1, **WIDE), lambda: nn.Softmax(1)),
    "layer norm": (lambda: QuantLayerNorm((3, 8), **WIDE), lambda: nn.LayerNorm((3, 8))),
    "RMS norm": (lambda: QuantRMSNorm(8, **WIDE), lambda: nn.RMSNorm(8)),
}


@pytest.mark.parametrize("name", TWINS)
def test_gradients_and_checkpoints_are_those_of_torchs_layer(name, torch_seed):
    quantized, smooth = (make() for make in TWINS[name])
    for parameter in smooth.parameters():
        nn.init.uniform_(parameter, 0.5, 1)
    before = {name for name, _ in quantized.named_parameters() if name.endswith("binary_point")}
    assert quantized.load_state_dict(smooth.state_dict(), strict=False).unexpected_keys == []
    model, x = Net(quantized), torch.randn(64, 3, 8, requires_grad=True)
    calibrate(model, [x])
    weight = torch.randn(64, 3, 8)
    y = model.train()(x)
    (y * weight).sum().backward()
    again = x.detach().clone().requires_grad_()
    (smooth(again) * weight).sum().backward()
    assert (y - smooth(again)).abs().max() < 0.02
    assert (x.grad - again.grad).norm() < 0.03 * again.grad.norm()
    trained = {name: p for name, p in quantized.named_parameters() if p.requires_grad}
    assert before and all(p.grad is not None for p in trained.values())


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (
            lambda: QuantSoftmax(exp_bits=13),
            "QuantSoftmax: exp_bits must be an integer from 2 to 12, not 13",
        ),
        (
            lambda: QuantSoftmax(input_signed=True),
            "QuantSoftmax: input_signed must be False, not True",
        ),
        (
            lambda: QuantLayerNorm(4, input_bit_width=13),
            "QuantNormalise: input_bit_width must be at most 12, not 13",
        ),
        (
            lambda: QuantRMSNorm(4, input_quant=None, quant=None),
            "QuantNormalise: input_quant must be a QFX quantizer, not None",
        ),
    ],
)
def test_impossible_options_are_refused(build, text):
    with pytest.raises(OptionError) as caught:
        build()
    assert str(caught.value) == text


def test_more_elements_than_a_table_has_entries_are_refused():
    with pytest.raises(FormatError, match=r"^QuantSoftmax: dim -1 must have fewer than 4096 eleme"):
        QuantSoftmax(**SMALL)(torch.zeros(1, 4096))


def test_distances_that_change_nothing_make_no_format_coarser(torch_seed):
    x = 3 * torch.rand(4, 6)
    x[:, 1], x[:, 2] = -200, 90  # far away, and hidden
    layer = QuantSoftmax(mask=torch.arange(6) != 2, input_bit_width=8)
    calibrate(layer, [x])
    assert learned_formats(layer)["exp.input"].frac_bits >= 4
    y = layer.eval()(x)
    assert not y[:, 1:3].any()
    assert (y - torch.softmax(x.index_fill(1, torch.tensor(2), -1e9), 1)).abs().max() < 5 / 256
    coarse = QuantSoftmax(**SMALL | {"input_bit_width": 2, "input_frac_bits": -5}).eval()
    assert coarse(torch.tensor([[0.0, -17.0]]))[0, 1] == 0  # 17 is nearer to 32 than to 0
