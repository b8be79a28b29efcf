"""The checker itself: each kind of float number left in a file is found."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from brevitas_quantizers import export_qonnx
from tests.convert.helpers import converted
from tests.convert.walk import float_arithmetic


@pytest.fixture
def exported(torch_seed) -> onnx.ModelProto:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.randn(4, 3, 6, 6)
    return export_qonnx(converted(network, x), x[:1])


def node(model: onnx.ModelProto, kind: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == kind)


def quant_before(model: onnx.ModelProto, consumer: str, operand: int) -> onnx.NodeProto:
    name = node(model, consumer).input[operand]
    return next(node for node in model.graph.node if node.output[0] == name)


def test_an_exported_network_has_none(exported):
    assert float_arithmetic(exported) == []


@pytest.mark.parametrize("operand", [0, 1, 2])
def test_a_missing_quant_is_found(exported, operand):
    """Of the input, of the weights, of the bias."""
    conv = node(exported, "Conv")
    source = quant_before(exported, "Conv", operand).input[0]
    conv.input[operand] = source
    assert float_arithmetic(exported) == [f"{conv.name}: Conv reads {source}, which is float"]


def test_a_scale_that_is_no_power_of_two_is_found(exported):
    quant = quant_before(exported, "Conv", 1)
    exported.graph.initializer.append(numpy_helper.from_array(np.float32(0.3), "odd"))
    quant.input[1] = "odd"
    assert float_arithmetic(exported) == [f"{quant.name}: scale {np.float32(0.3)}"]


def test_a_float_operation_is_found(exported):
    relu = node(exported, "Relu")
    relu.op_type = "Sigmoid"
    assert float_arithmetic(exported) == [f"{relu.name}: Sigmoid is not exact"]


def test_a_mean_that_divides_is_found(torch_seed):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2))
    x = torch.randn(4, 3, 6, 6)
    exported = export_qonnx(converted(network, x), x[:1])
    assert float_arithmetic(exported) == []
    pool = node(exported, "AveragePool")
    next(a for a in pool.attribute if a.name == "kernel_shape").ints[:] = [3, 2]
    assert float_arithmetic(exported) == [f"{pool.name}: AveragePool divides by 6"]
