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
from brevitas_quantizers.qonnx.qcdq import to_qcdq
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
    wide = models.mlp(bit_width=26)
    result = verify(wide, models.random_inputs(wide, 3), executors=["onnxruntime"])
    assert result["onnxruntime"].reason == (
        "out of float64 range: a sum may need 55 bits, float64 is exact to 53"
    )
    with pytest.raises(
        ExportError, match=r"^x_q: an activation of float32 has at most 24 bits, not"
    ):
        to_qcdq(wide, wide=True)


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


class Two(nn.Module):
    """Inputs that are not commutative, of which one may be left out."""

    def __init__(self) -> None:
        super().__init__()
        weight = {"weight_quant": QFXFixedPoint, "weight_bit_width": 4, "bias": False}
        self.entry = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=5)
        self.fc1, self.fc2 = qnn.QuantLinear(6, 3, **weight), qnn.QuantLinear(6, 3, **weight)
        self.add = QuantAdd(QFXFixedPoint)

    def forward(self, u: Tensor, a: Tensor, scale: float | None = None) -> Tensor:
        return self.add(self.fc1(self.entry(u)), self.fc2(self.entry(a)))


@pytest.fixture
def two(tmp_path, torch_seed):
    model = Two().train()
    u, a = torch.randn(2, 40, 6)
    model(u, a)
    export_qonnx(model.eval(), (u[:1], a[:1]), tmp_path / "two.onnx")
    return model, tmp_path / "two.onnx", u, a


def test_several_inputs_in_order_and_by_every_name(two):
    model, path, u, a = two
    forms = [
        {"a": a, "u": u}, {"input_1": a.numpy(), "input_0": u}, [u, a.numpy()], (u, a),
    ]  # fmt: skip
    for inputs in forms:
        for source, twin in ((path, model), (model, None)):
            result = verify(source, inputs, twin, executors=["torch", "qonnx"])
            result.raise_if_different(required=["torch", "qonnx"])
            assert result["torch"].samples == 40


@pytest.mark.parametrize(
    ("names", "of_file", "of_module"),
    [
        ("ua ", "inputs must be exactly input_0, input_1, not input_0, input_1,  ",
         "inputs must be named u, a, scale as in forward, not u, a,  "),
        ("u", "inputs must be exactly input_0, input_1, not input_0", None),
        ("ux", "inputs must be exactly input_0, input_1, not input_0, x",
         "inputs must be named u, a, scale as in forward, not u, x"),
        ("", "inputs must be exactly input_0, input_1, not none",
         "inputs must be named u, a, scale as in forward, not none"),
    ],
)  # fmt: skip
def test_wrong_names_of_inputs(names, of_file, of_module, two):
    model, path, u, _ = two
    with pytest.raises(DataError) as error:
        verify(path, dict.fromkeys(names, u), model)
    assert str(error.value) == of_file
    with pytest.raises((DataError, ExportError)) as error:
        verify(model, dict.fromkeys(names, u))
    if of_module is not None:
        assert str(error.value) == of_module


def test_several_inputs_that_do_not_fit(two):
    _, path, u, a = two
    for inputs, text in (
        ([u, a, a], "inputs must be given by name (input_0, input_1), not as 3 arrays"),
        (u, "inputs must be given by name (input_0, input_1), not as one array"),
        (
            [u, a[:3]],
            "inputs must have the same number of samples, not {'input_0': 40, 'input_1': 3}",
        ),
    ):
        with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
            verify(path, inputs)


def test_a_name_that_no_input_has(tmp_path, torch_seed):
    model = trained("prelu", 4)
    x = batch(model, 5)
    export_qonnx(model, x[:1], tmp_path / "m.onnx")
    with pytest.raises(DataError, match="^inputs must be exactly input, not other$"):
        verify(tmp_path / "m.onnx", {"other": x}, model)
    for one in ({"input": x}, (x,), [x], x):
        verify(tmp_path / "m.onnx", one, model, executors=["torch"]).raise_if_different()


class Nested(nn.Module):
    """Outputs in a dictionary, nested, of different sizes; and a quantizer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        weight = {"weight_quant": QFXFixedPoint, "weight_bit_width": 4, "bias": False}
        self.entry = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=5)
        self.z, self.a, self.m = (qnn.QuantLinear(6, n, **weight) for n in (2, 3, 4))
        self.unused = qnn.QuantReLU(act_quant=QFXFixedPoint)

    def forward(self, x: Tensor) -> dict[str, object]:
        if self.training:
            self.unused(x)
        x = self.entry(x)
        return {"z": self.z(x), "a": [self.a(x), (self.m(x), {})]}


@pytest.mark.filterwarnings("ignore:export_qonnx. forward does not call unused")
def test_outputs_in_dictionaries_and_quantizers_that_are_not_called(tmp_path, torch_seed):
    model = Nested().train()
    x = torch.randn(40, 6)
    model(x)
    export_qonnx(model.eval(), x[:1], tmp_path / "m.onnx")
    result = verify(tmp_path / "m.onnx", x, model, executors=ALL)
    result.raise_if_different(required=ALL)
    sizes = [tensor.codes for tensor in result["torch"].tensors]
    assert sizes == [40 * 6, 40 * 2, 40 * 3, 40 * 4]


@pytest.mark.filterwarnings("ignore:export_qonnx. forward does not call unused")
def test_a_module_with_other_outputs_than_the_file(tmp_path, torch_seed):
    model = Nested().train()
    x = torch.randn(4, 6)
    model(x)
    export_qonnx(model.eval(), x[:1], tmp_path / "m.onnx")
    model.forward = lambda x: model.z(model.entry(x))
    result = verify(tmp_path / "m.onnx", x, model, executors=["torch"])
    assert result["torch"].reason == "the module returns 1 tensors, the file has 3 outputs"
    assert not result.agrees


@pytest.mark.parametrize("rounding", ["AP_RND", "AP_RND_INF", "AP_RND_MIN_INF", "AP_RND_ZERO"])
def test_one_ulp_from_a_tie(rounding, torch_seed):
    """`x + 0.5`, by which files and qonnx round, is a whole number there in float32."""
    weight = {"weight_quant": QFXFixedPoint, "weight_bit_width": 4, "bias": False}
    entry = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=8, rounding=rounding)
    model = nn.Sequential(entry, qnn.QuantLinear(6, 3, **weight)).train()
    model(torch.randn(40, 6))
    (bits,) = {op.frac_bits for op in models_graph(model) if hasattr(op, "frac_bits")}
    ties = (torch.randint(-20, 20, (200, 6)).float() + 0.5) / 2.0**bits
    near = torch.cat([torch.nextafter(ties, ties + side) for side in (-1, 1)])
    verify(model, near, executors=ALL).raise_if_different(required=ALL)


def models_graph(model: nn.Module):
    return load_qonnx(export_qonnx(model.eval(), torch.zeros(1, 6)))
