"""Networks as users make them: quantized from float, calibrated, exported, converted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, calibrate, export_qonnx, quantize
from qfx_plugin.finn_plugin import convert
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from tests.finn_plugin.helpers import op_types
from tests.networks import BasicBlock


def network() -> nn.Module:
    """Batch norms (one with a falling scale), PReLU, residuals, pools."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.PReLU(4),
        nn.MaxPool2d(2), BasicBlock(4, 8, 2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip
    with torch.no_grad():
        model[4].bn1.weight[1] = -0.7
    return model


@pytest.mark.parametrize(
    "options",
    [
        {"bit_width": 8},
        {"bit_width": 4, "rounding": "AP_TRN"},
        {"bit_width": 6, "quant": QFXKHot, "weight_k": 2, "act_rounding": "AP_RND_INF"},
    ],
    ids=["8 bits", "4 bits, truncated", "6 bits, K=2"],
)
def test_batch_norm_prelu_residual(options, tmp_path, torch_seed):
    x = torch.randn(32, 3, 16, 16)
    float_model = network()
    float_model(x)
    model = quantize(float_model.eval(), **{"quant": QFXFixedPoint, **options})
    calibrate(model, [x])
    export_qonnx(model.eval(), args=x[:1], path=str(tmp_path / "m.onnx"))
    dataflow = convert(tmp_path / "m.onnx")
    samples = x[:3].numpy()
    assert set(dataflow.differences(samples).values()) == {0}
    hardware = to_hardware(dataflow.model)
    assert set(dataflow.differences(samples, hardware).values()) == {0}
    assert "QFXAdd" in op_types(hardware)
