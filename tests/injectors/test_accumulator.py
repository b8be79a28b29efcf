"""Guaranteed accumulator widths, on the exported graph: by the true range of every sum."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, quantize
from brevitas_quantizers.fixed_point import ExportError, OptionError
from qfx_plugin import load_qonnx

BOUND = {"weight_rounding": "AP_TRN_ZERO", "weight_accumulator_bit_width": 10}


def sum_bits(model: nn.Module, x: torch.Tensor) -> list[int]:
    """Signed bits that the sums of products of each layer can need, without the bias."""
    graph = load_qonnx(export_qonnx(model.eval(), x[:1]))
    found = []
    for op in graph.ops:
        if getattr(op, "weight", None) is not None:
            inputs = graph.types()[op.inputs[0]]
            low, high = int(inputs.low.min()), int(inputs.high.max())
            codes = op.weight.codes.reshape(len(op.weight.codes), -1)
            ups, downs = np.clip(codes, 0, None).sum(1), np.clip(codes, None, 0).sum(1)
            top = int((ups * high + downs * low).max())
            bottom = int((ups * low + downs * high).min())
            found.append(max(top.bit_length(), (-bottom - 1).bit_length()) + 1)
    return found


def test_each_layer_of_quantize_counts_with_its_own_input(torch_seed):
    """Behind 8 signed bits, 4 unsigned bits, and a pool in between."""
    plain = nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 6),
        nn.ReLU(), nn.Linear(6, 4),
    )  # fmt: skip
    for layer in plain:
        if hasattr(layer, "weight"):
            nn.init.normal_(layer.weight, std=0.5)
    options = BOUND | {"weight_accumulator_input_bit_width": 4}
    model = quantize(plain, bit_width=4, input_bit_width=8, **options)
    x = torch.rand(16, 2, 8, 8) * 2 - 1
    calibrate(model, [x])
    bits = sum_bits(model, x)
    assert len(bits) == 3 and max(bits) <= 10 and min(bits) >= 9
    bounds = [model.get_submodule(name).weight_quant.quantizer for name in ("0", "4", "6")]
    assert [bound.largest_input for bound in bounds] == [128, 15, 15]


@pytest.mark.parametrize("signed", [False, True])
def test_the_own_input_quantizer_wins_over_the_options(signed, torch_seed):
    layer = qnn.QuantLinear(
        32, 8, bias=False, weight_quant=QFXFixedPoint, **BOUND,
        weight_accumulator_input_bit_width=2, input_quant=QFXFixedPoint, input_bit_width=7,
        input_signed=signed,
    )  # fmt: skip
    layer.weight.data.normal_(0, 2)
    x = torch.randn(8, 32)
    model = calibrate(nn.Sequential(layer), [x])
    assert layer.weight_quant.quantizer.largest_input == (64 if signed else 127)
    assert max(sum_bits(model, x)) <= 10


def test_options_that_the_graph_contradicts_are_refused(torch_seed):
    layer = qnn.QuantLinear(
        32, 8, bias=False, weight_quant=QFXFixedPoint, **BOUND,
        weight_accumulator_input_bit_width=4,
    )  # fmt: skip
    model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), layer)
    layer.weight.data.normal_(0, 2)
    x = torch.randn(8, 32)
    calibrate(model, [x])
    with pytest.raises(ExportError) as caught:
        export_qonnx(model.eval(), x[:1])
    text = str(caught.value)
    assert text.startswith("1.weight: sums of products need 14 bits with its input of 8 bits, ")
    assert "more than accumulator_bit_width=10" in text


def test_a_width_that_holds_no_product_is_refused(torch_seed):
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    options = BOUND | {"weight_accumulator_bit_width": 8, "weight_accumulator_input_bit_width": 4}
    model = quantize(plain, input_bit_width=9, **options)
    with pytest.raises(OptionError, match=r"accumulator_bit_width must hold .* reaches 256, not 8"):
        calibrate(model, [torch.randn(4, 4)])


@pytest.mark.parametrize(("bits", "width", "signed"), [(9, 4, True), (10, 4, False), (12, 1, True)])
def test_the_bound_is_the_largest_that_fits(bits, width, signed):
    width = max(width, 2)
    layer = qnn.QuantLinear(
        8, 8, bias=False, weight_quant=QFXFixedPoint, weight_rounding="AP_TRN_ZERO",
        weight_accumulator_bit_width=bits, weight_accumulator_input_bit_width=width,
        weight_accumulator_input_signed=signed,
    )  # fmt: skip
    bound = layer.weight_quant.quantizer
    top = 2 ** (bits - 1) - 1
    assert bound.largest_norm * bound.largest_input <= top
    assert (bound.largest_norm + 1) * bound.largest_input > top


@pytest.mark.parametrize("kind", [qnn.QuantConv1d, qnn.QuantConvTranspose1d])
def test_the_bound_is_per_output_channel(kind, torch_seed):
    layer = kind(
        3, 5, 4, bias=False, weight_quant=QFXFixedPoint, **BOUND,
        weight_accumulator_input_bit_width=4,
    )  # fmt: skip
    layer.weight.data.normal_(0, 2)
    quantizer = layer.weight_quant.quantizer
    layer.weight_quant.follow()
    values, lsb, *_ = quantizer(layer.weight)
    codes = (values / lsb).movedim(layer.output_channel_dim, 0).flatten(1)
    norms = codes.abs().sum(1)
    assert len(norms) == 5
    assert (norms <= quantizer.largest_norm).all() and norms.max() > quantizer.largest_norm / 2
