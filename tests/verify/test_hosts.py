"""Executors at every tensor: torch at its quantizers, onnxruntime on QCDQ, from file or module."""

from __future__ import annotations

import copy
import re

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx
from brevitas_quantizers.nn import QuantAdd
from qfx_plugin import verify_agreement
from qfx_plugin.errors import DataError, ExportError, OptionError
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import verify
from tests import qonnx_models as models
from tests.nn.networks import batch, trained

ALL = ["torch", "qonnx", "onnxruntime"]


class Twice(nn.Module):
    """One activation quantizer at two places, beside two inputs."""

    def __init__(self) -> None:
        super().__init__()
        weight = {"weight_quant": QFXFixedPoint, "weight_bit_width": 4, "bias": False}
        self.entry = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=5)
        self.fc1, self.fc2 = qnn.QuantLinear(6, 6, **weight), qnn.QuantLinear(6, 3, **weight)
        self.relu = qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=4, rounding="AP_RND")
        self.add = QuantAdd(QFXFixedPoint)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = self.entry(x), self.entry(y)
        return self.fc2(self.relu(self.add(self.relu(self.fc1(x)), y)))


def twice() -> tuple[Twice, dict[str, np.ndarray]]:
    model = Twice().train()
    inputs = torch.randn(2, 40, 6)
    model(*inputs)
    return model.eval(), {"input_0": inputs[0].numpy(), "input_1": inputs[1].numpy()}


@pytest.mark.parametrize("name", ["residual block", "concat", "prelu", "average", "multiply"])
def test_a_module_is_exported_and_compared_everywhere(name, torch_seed):
    model = trained(name, 4)
    before = copy.deepcopy(model.state_dict())
    result = verify_agreement(model, batch(model, 30).numpy(), executors=ALL)
    result.raise_if_different(required=ALL)
    assert result.model == type(model).__name__
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    seen = {entry.name: len(entry.tensors) for entry in result.executors}
    assert seen["onnxruntime"] == seen["qonnx"] > seen["torch"] >= 2


def test_every_quantizer_of_torch_is_compared_also_where_it_is_used_twice(torch_seed):
    model, inputs = twice()
    result = verify(model, inputs, executors=ALL).raise_if_different(required=ALL)
    onnx_model = export_qonnx(model, tuple(torch.tensor(x[:1]) for x in inputs.values()))
    constants = {tensor.name for tensor in onnx_model.graph.initializer}
    quants = [n for n in onnx_model.graph.node if n.op_type == "Quant"]
    outputs = {node.output[0] for node in quants if node.input[0] not in constants}
    assert {tensor.name for tensor in result["torch"].tensors} == outputs | {"output"}
    assert len(outputs) == 5


def test_the_first_tensor_that_differs_is_named(tmp_path, torch_seed):
    model, inputs = twice()
    path = tmp_path / "m.onnx"
    export_qonnx(model, tuple(torch.tensor(x[:1]) for x in inputs.values()), path)
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.fc1.weight.mul_(-1)
    result = verify(path, inputs, torch_model=changed, executors=ALL)
    assert (result["qonnx"].differing, result["onnxruntime"].differing) == (0, 0)
    first = result["torch"].first_tensor
    (producer,) = [op for op in load_qonnx(path) if op.output == first.name]
    relus = [op.output for op in load_qonnx(path) if type(op).__name__ == "Relu"]
    assert producer.inputs[0] == relus[0]
    assert 0 < first.differing_samples <= 40 and first.differing >= first.differing_samples
    assert result["torch"].first[0].tensor == first.name
    line = re.escape(f"torch: {first.name} is the first tensor that differs, in ")
    line += rf"\d+ of 240 codes, on {first.differing_samples} of 40 samples"
    assert re.search(line, str(result))


@pytest.mark.parametrize("bit_width", [4, 8])
@pytest.mark.parametrize(
    "make",
    [models.mlp, models.cnn, models.residual, models.concat, models.depthwise, models.conv1d,
     models.average_pool, models.per_channel_activation],
)  # fmt: skip
def test_onnxruntime_runs_files_of_others(make, bit_width, tmp_path):
    model = make(bit_width=bit_width)
    path = tmp_path / "m.onnx"
    onnx.save(model, str(path))
    result = verify(path, models.random_inputs(model, 70), executors=["qonnx", "onnxruntime"])
    result.raise_if_different(required=["onnxruntime"])
    names = [[tensor.name for tensor in entry.tensors] for entry in result.executors]
    assert names[0] == names[1]


def test_what_onnxruntime_cannot_do_exactly_is_said(tmp_path):
    wide = models.mlp(bit_width=10)
    result = verify(wide, models.random_inputs(wide, 3), executors=["onnxruntime"])
    assert result["onnxruntime"].reason == (
        "x_q: an activation of QuantizeLinear has at most 8 bits, not 10"
    )
    sums = models.mlp(bit_width=16)
    result = verify(sums, models.random_inputs(sums, 3), executors=["onnxruntime"])
    assert result["onnxruntime"].reason == (
        "out of float32 range: a sum may need 36 bits, float32 is exact to 24"
    )


def test_a_module_that_cannot_be_exported_says_why(torch_seed):
    model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), nn.Linear(4, 2))
    calibrate(model, [torch.randn(8, 4)])
    with pytest.raises(ExportError, match=r"^1.weight: every parameter needs a QFX quantizer"):
        verify(model, np.zeros((3, 4)))
    with pytest.raises(DataError, match="^inputs must hold at least one sample$"):
        verify(model, np.zeros((0, 4)))
    text = "model must be a path, an onnx.ModelProto or a torch.nn.Module, not dict"
    with pytest.raises(OptionError, match=f"^{text}$"):
        verify({}, np.zeros((3, 4)))
