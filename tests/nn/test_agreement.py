"""Each layer in PyTorch, in the integer interpreter and in qonnx: the same codes, every sample."""

from __future__ import annotations

import pytest
import torch

from brevitas_quantizers import calibrate, export_qonnx
from qfx_plugin.verify import verify
from tests.nn.networks import LAYERS, batch, trained

SAMPLES = 1000


def check(model, path, dynamo: bool = False) -> int:
    """Export, compare, and return the number of codes compared."""
    export_qonnx(model, batch(model, 2), path, dynamo=dynamo)
    result = verify(
        path, batch(model, SAMPLES).numpy(), torch_model=model, executors=["torch", "qonnx"]
    )
    result.raise_if_different(required=["torch", "qonnx"])
    return result["torch"].codes


@pytest.mark.parametrize("bits", [4, 8, 12])
@pytest.mark.parametrize("name", LAYERS)
def test_trained_layers_have_the_same_codes_everywhere(name, bits, tmp_path, torch_seed):
    assert check(trained(name, bits), tmp_path / "m.onnx") > SAMPLES


@pytest.mark.parametrize("name", LAYERS)
def test_untrained_layers_have_the_same_codes_everywhere(name, tmp_path, torch_seed):
    model = LAYERS[name](8)
    calibrate(model, [batch(model, 32)])
    check(model.eval(), tmp_path / "m.onnx")


@pytest.mark.parametrize("name", LAYERS)
def test_the_dynamo_exporter_writes_the_same_network(name, tmp_path, torch_seed):
    check(trained(name, 8), tmp_path / "m.onnx", dynamo=True)


def test_a_network_in_float64_has_the_codes_of_float32(torch_seed):
    model = trained("batchnorm2d", 8)
    x = batch(model, 50)
    with torch.no_grad():
        assert torch.equal(model(x).double(), model.double()(x.double()))
