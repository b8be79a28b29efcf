"""What the tests of the conversion share: prove a converted network, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brevitas_quantizers import calibrate, export_qonnx, quantize
from qfx_plugin import verify_agreement
from qfx_plugin.qonnx_import import load_qonnx
from tests.convert.walk import float_arithmetic


def converted(network: nn.Module, x: Tensor, **options: Any) -> nn.Module:
    """`network` quantized, calibrated on `x`, in evaluation mode."""
    return calibrate(quantize(network.eval(), **options), [x]).eval()


def prove(model: nn.Module, x: Tensor) -> Any:
    """Export, look for float arithmetic, compare all executors that can run; the agreement."""
    exported = export_qonnx(model, x[:1])
    assert float_arithmetic(exported) == []
    assert load_qonnx(exported).outputs == ("output",)
    agreement = verify_agreement(
        exported, x.numpy(), torch_model=model, executors=["torch", "qonnx"]
    )
    return agreement.raise_if_different(required=["torch", "qonnx"])


def assert_close(model: nn.Module, network: nn.Module, x: Tensor, tolerance: float) -> None:
    """The fixed-point network computes what the float one does, within `tolerance`."""
    with torch.no_grad():
        got, expected = model.double()(x.double()), network.double().eval()(x.double())
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=0, atol=tolerance)
    model.float()
    network.float()


def randomise_norms(network: nn.Module) -> nn.Module:
    """Statistics and affine parameters of each BatchNorm as after training."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network
