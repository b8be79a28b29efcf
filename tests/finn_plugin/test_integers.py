"""The proof that nothing is a float finds a float, wherever it is."""

from __future__ import annotations

import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.finn_plugin import adapter, convert, require_integers
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from tests.qonnx_models import cnn, mlp


def datatype(name: str):
    return adapter.module("qonnx.core.datatype").DataType[name]


@pytest.fixture
def model():
    return convert(mlp()).model


def test_converted_models_hold_integers_only(model):
    assert require_integers(model) is model
    hardware = to_hardware(convert(cnn()).model)
    assert require_integers(hardware) is hardware


def test_a_float_tensor(model):
    model.set_tensor_datatype("fc1_out", datatype("FLOAT32"))
    with pytest.raises(TargetError, match=r"\(QFXRequant\): tensor 'fc1_out' is FLOAT32"):
        require_integers(model)


def test_a_fraction_among_the_weights(model):
    weight = model.get_initializer("logits:sums:weight").copy()
    weight[2, 3] += 0.5
    model.set_initializer("logits:sums:weight", weight)
    with pytest.raises(TargetError, match="constant 'logits:sums:weight' holds no integers"):
        require_integers(model)


def test_a_constant_outside_its_type(model):
    model.set_tensor_datatype("logits:sums:weight", datatype("INT2"))
    with pytest.raises(TargetError, match=r"holds -?\d+\.\.\d+, outside INT2"):
        require_integers(model)


def test_a_float_attribute_of_a_hardware_unit(model):
    hardware = to_hardware(model)
    node = hardware.graph.node[0]
    get_op = adapter.module("qonnx.custom_op.registry").getCustomOp
    get_op(node).set_nodeattr("outputDataType", "FLOAT32")
    with pytest.raises(TargetError, match="outputDataType is FLOAT32"):
        require_integers(hardware)
