"""FINN as an executor of `verify`: several inputs, chosen outputs, and no raw exception."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.finn_plugin import adapter, convert, executor
from qfx_plugin.finn_plugin import model as models
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import verify
from tests.finn_plugin.test_flatten import Network, inputs
from tests.qonnx_models import cnn, mlp, random_inputs


def test_an_image_and_a_vector():
    b = Network(v=(4,))
    joined = b.node("Concat", [b.flat(), b.quant("v", "v_q", 8, 5)], "joined", axis=1)
    model = b.finish(**{b.linear(joined, "fc1", (16, 5), 6): (5,)})
    result = verify(model, inputs(model, 4), executors=["finn"])
    result.raise_if_different(required=["finn"])
    assert result["finn"].codes == 4 * 5


def test_tensors_inside_the_network_as_outputs():
    model = cnn()
    outputs = ["conv1_out", "flat", "logits"]
    result = verify(model, random_inputs(model, 3), executors=["finn"], outputs=outputs)
    result.raise_if_different(required=["finn"])
    assert {tensor.name for tensor in result["finn"].tensors} == set(outputs)


def test_an_error_of_finn_while_it_runs_is_one_line_with_the_layer(monkeypatch):
    dataflow = convert(mlp())
    hardware = to_hardware(dataflow.model)
    operation = adapter.module("qfx_plugin.finn_plugin.ops.requant").QFXRequant

    def broken(self, context, graph):
        raise ValueError("operands could not\nbe broadcast")

    monkeypatch.setattr(operation, "execute_node", broken)
    with pytest.raises(TargetError) as caught:
        models.execute(hardware, {"x": np.zeros((1, 16))}, dataflow.contract)
    assert str(caught.value) == (
        "layer 'fc1_out_node' (QFXRequant 'QFXRequant_0'): FINN fails with ValueError: operands "
        "could not be broadcast"
    )


def test_an_error_of_finn_in_a_conversion_is_one_line(monkeypatch):
    place = "finn.transformation.fpgadataflow.convert_to_hw.conv_inp_gen"
    conversion = adapter.module(place).InferConvInpGen
    monkeypatch.setattr(conversion, "apply", lambda self, model: 1 / 0)
    with pytest.raises(TargetError, match="^conversion to hardware, InferConvInpGen: FINN fails"):
        executor.start(load_qonnx(cnn()))
    result = verify(cnn(), random_inputs(cnn(), 2), executors=["finn"])
    assert "FINN fails with ZeroDivisionError: division by zero" in result["finn"].reason
