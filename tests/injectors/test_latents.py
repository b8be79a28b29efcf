"""Binary points and word lengths that no float32 can follow: an error that names the layer."""

from __future__ import annotations

import re

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, learned_formats
from brevitas_quantizers.fixed_point import FormatError
from qfx_plugin import verify_agreement

BAD = [float("nan"), float("inf"), -float("inf"), 127.0, 150.0, -125.0, 3e8]
VALID = [126.0, -120.0, 63.4]
Q = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}


def network(per_channel: bool = False) -> nn.Sequential:
    """Calibrated: input, linear layer."""
    layer = qnn.QuantLinear(4, 3, True, **Q, weight_scaling_per_output_channel=per_channel)
    model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), layer)
    return calibrate(model, [torch.randn(8, 4)]).eval()


def point(model: nn.Sequential, slot: str) -> torch.Tensor:
    if slot == "act":
        return model[0].act_quant.quantizer.binary_point
    return getattr(model[1], f"{slot}_quant").quantizer.binary_point


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("slot", ["act", "weight", "bias"])
def test_at_the_cast_and_in_every_helper(value, slot, tmp_path):
    model, x = network(), torch.randn(8, 4)
    name = "0.act" if slot == "act" else f"1.{slot}"
    point(model, slot).data.fill_(value)
    text = f"{name}: the binary point must be from -12[04] to 126 fractional bits, not "
    for use in (
        lambda: model(x),
        lambda: model.train()(x),
        lambda: learned_formats(model),
        lambda: export_qonnx(model, x[:1], tmp_path / "m.onnx"),
        lambda: verify_agreement(model, x),
    ):
        with pytest.raises(FormatError) as caught:
            use()
        assert re.match(text, str(caught.value))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", BAD)
def test_one_channel_of_many(value):
    model = network(per_channel=True)
    point(model, "weight").data[1] = value
    for use in (lambda: learned_formats(model), lambda: model.train()(torch.randn(8, 4))):
        with pytest.raises(FormatError, match=r"^1\.weight: the binary point must be from"):
            use()


@pytest.mark.parametrize("value", VALID)
def test_the_last_valid_points_are_exact(value):
    act = qnn.QuantIdentity(act_quant=QFXFixedPoint, frac_bits=0, learn_binary_point=True).train()
    act.act_quant.quantizer.settle()
    act.act_quant.quantizer.binary_point.data.fill_(value)
    frac_bits = round(value)
    x = torch.tensor([1.0, -3.0, 127.0]) * 2.0**-frac_bits
    assert torch.equal(act(x), x)
    assert learned_formats(act)["act"].frac_bits == frac_bits


def test_a_word_length_that_is_no_number():
    model = nn.Sequential(qnn.QuantReLU(act_quant=QFXFixedPoint, learn_bit_width=True))
    model(torch.rand(8, 4)).sum().backward()
    model[0].act_quant.quantizer.bit_width_latent.data.fill_(float("nan"))
    with pytest.raises(FormatError, match=r"^0\.act: the word length must be a number of bits"):
        learned_formats(model)
    with pytest.raises(FormatError, match=r"^0\.act: the word length must be a number of bits"):
        model.train()(torch.rand(8, 4))
