"""Softmax and norms: every code against exact rationals, the error against float64, gradients."""

from __future__ import annotations

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
from tests.campaign import WHOLE
from tests.oracles.normalisers import (
    PROOFS,
    centred_codes,
    norm_codes,
    norm_reference,
    reciprocal_codes,
    reciprocal_reference,
    root_codes,
    root_reference,
    softmax_codes,
    softmax_reference,
)

SMALL = {"input_bit_width": 6, "input_frac_bits": 3, "output_bit_width": 8, "output_frac_bits": 8}
NEAREST = "AP_RND_CONV", "AP_SAT"


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
        expected = softmax_reference(numbers, 10, list(keep[row]), (6, 3))
        assert list(map(Fraction, found[sample, row])) == expected
    scores = torch.tensor(codes / 8).masked_fill(~torch.tensor(keep), -torch.inf)
    smooth = torch.nan_to_num(torch.softmax(scores, -1)).numpy()
    bound = 0.5 * 2**-8 + 3 * 2**-12 + 6 * 2**-11 + 2**-8 * (smooth > 1 - 2**-8)  # 1 saturates
    assert (np.abs(found - smooth) <= bound).all()
    assert not found[:, ~keep].any()


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


def test_the_arrays_are_the_scalar_reference(rng):
    """What executors are compared with, against rationals, row by row."""
    for n in (8, 49):
        for row in np.rint(rng.normal(0, 30, (30, n))).astype(np.int64):
            numbers = [Fraction(int(code), 16) for code in row]
            expected = softmax_reference(numbers, 12, [True] * n, (8, 4))
            assert (softmax_codes(row[np.newaxis])[0] / 256).tolist() == expected
    fmt = FixedPointFormat.from_frac_bits(8, 4)
    for n, width in ((16, 8), (24, 8), (6, 2)):
        for row in rng.integers(-1 << (width - 1), 1 << (width - 1), (30, n)):
            scale = next(2**bits for bits in range(12) if 2**bits / n >= 64)  # seven bits of 1 / n
            factor = Fraction(round(Fraction(scale, n)), scale)
            around = [Fraction(int(x)) - int(row.sum()) * factor for x in row]
            centred = [cast_code(x / 16, fmt, *NEAREST) for x in around]
            assert centred_codes(row[np.newaxis])[0].tolist() == centred
            for codes, added in ((centred, 0), (row.tolist(), 3)):
                expected = [cast_code(x, fmt, *NEAREST) for x in norm_reference(codes, added)]
                assert norm_codes(np.array([codes]), added, 4, 8)[0].tolist() == expected
    for total in rng.integers(0, 1 << 24, 100):
        expected = reciprocal_reference(Fraction(int(total), 4096)) * 4096
        assert reciprocal_codes(np.array([total])) == expected
        root, bits = root_codes(np.array([total]), 16)
        assert Fraction(int(root[0]), 1 << int(bits[0])) == root_reference(Fraction(int(total)), 16)


@pytest.mark.parametrize("name", PROOFS)
def test_every_executor_computes_the_definition(name, tmp_path):
    """Some rows, or a million, or all there are, under `QFX_CAMPAIGN=all`."""
    rows, chunk = (1_000_000, 16_384) if WHOLE else (300, 300)
    found = PROOFS[name].prove(rows, tmp_path, chunk)
    assert found["codes"] >= 1024
    assert set(found["different"].values()) == {0}, found
    assert found["part"] <= 1


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
