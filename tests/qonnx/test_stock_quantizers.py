"""Brevitas' own fixed-point quantizers in one model with ours: exported, imported, equal bits."""

from __future__ import annotations

import re

import brevitas.nn as qnn
import pytest
import torch
from brevitas.quant import Int8WeightPerTensorFloat
from brevitas.quant.fixed_point import (
    Int8ActPerTensorFixedPoint,
    Int8BiasPerTensorFixedPointInternalScaling,
    Int8WeightPerChannelFixedPoint,
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
from torch import nn

from brevitas_quantizers import QFXFixedPoint, export_qonnx, import_qonnx
from brevitas_quantizers.fixed_point import ExportError
from qfx_plugin import verify_agreement


def network() -> nn.Sequential:
    return nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint),
        qnn.QuantConv2d(
            *(3, 4, 3),
            weight_quant=Int8WeightPerChannelFixedPoint,
            bias_quant=Int8BiasPerTensorFixedPointInternalScaling,
        ),
        qnn.QuantReLU(act_quant=Uint8ActPerTensorFixedPoint, bit_width=6),
        qnn.QuantConv2d(4, 4, 3, bias=False, weight_quant=QFXFixedPoint, weight_bit_width=5),
        qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint),
        qnn.QuantConvTranspose2d(4, 2, 2, bias=False, weight_quant=Int8WeightPerTensorFixedPoint),
        qnn.QuantReLU(act_quant=QFXFixedPoint),
    )


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    made = network()
    for _ in range(3):
        made(torch.randn(8, 3, 8, 8))
    return made.eval()


def test_a_model_of_both_kinds_round_trips(model: nn.Sequential) -> None:
    x = torch.randn(16, 3, 8, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    file = export_qonnx(model, x[:1])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    twin = import_qonnx(file)
    assert torch.equal(twin(x), model(x))
    assert export_qonnx(twin, x[:1]) == file
    found = verify_agreement(model, x.numpy(), executors=["torch", "qonnx", "onnxruntime"])
    found.raise_if_different(required=["torch", "qonnx", "onnxruntime"])


def test_scales_that_are_no_powers_of_two_are_refused_by_name() -> None:
    layer = qnn.QuantLinear(4, 2, bias=False, weight_quant=Int8WeightPerTensorFloat)
    model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), layer)
    model(torch.randn(8, 4))
    text = "1.weight: the scale of WeightQuantProxyFromInjector must be a power of two, not "
    with pytest.raises(ExportError, match=f"^{re.escape(text)}"):
        export_qonnx(model.eval(), torch.randn(1, 4))
