"""Codes of FINN's Python execution and of the interpreter, on every kind of network and layer."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.finn_plugin import adapter, convert
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models
from tests.finn_plugin.helpers import op_types
from tests.finn_plugin.networks import resnet8
from tests.qonnx_models import QonnxBuilder, random_inputs

ROUNDINGS = ("AP_TRN", "AP_TRN_ZERO", "AP_RND", "AP_RND_ZERO", "AP_RND_INF", "AP_RND_CONV")

NETWORKS = {
    "mlp": qonnx_models.mlp,
    "mlp, bias as an Add": lambda: qonnx_models.mlp(matmul=True),
    "mlp, 4 bits, K=2": lambda: qonnx_models.mlp(bit_width=4, weight_bit_width=6, k=2),
    "mlp, a binary point per output": lambda: qonnx_models.mlp(per_channel=True),
    "mlp, 12-bit activations": lambda: qonnx_models.mlp(bit_width=12, weight_bit_width=4),
    "mlp, symmetric": lambda: qonnx_models.mlp(bit_width=6, overflow="AP_SAT_SYM"),
    "cnn": qonnx_models.cnn,
    "cnn, K=2": lambda: qonnx_models.cnn(k=2, per_channel=True),
    "cnn, average pools": lambda: qonnx_models.cnn(pool="average"),
    "lenet": lambda: qonnx_models.cnn(size=16, kernel=5, channels=(6, 16), hidden=(32, 20)),
    "residual": lambda: qonnx_models.residual(per_channel=True),
    "depthwise": qonnx_models.depthwise,
    "concat": qonnx_models.concat,
    "global mean": qonnx_models.average_pool,
    "mean of squares": lambda: qonnx_models.average_pool(global_pool=False),
    "one dimension": qonnx_models.conv1d,
    "a binary point per channel": qonnx_models.per_channel_activation,
}


def pooled(kind: str, signed: bool | None = True, **window: object):
    """A pool that FINN itself has not, behind a cast with a binary point per channel."""

    def make():
        b = QonnxBuilder((3, 6, 5))
        x = b.quant("x", "x_q", 8, np.array([6, 5, 7]).reshape(1, 3, 1, 1))
        if signed is None:
            x = b.node("Relu", [x], "relu")
        elif not signed:
            x = b.activation(x, "relu", 8, 6)
        x = b.node(kind, [x], "pooled", **window)
        b.quant(x, "logits", 7, 5)
        return b.model("logits", tuple(load_qonnx(b.model("logits", (1,))).types()["pooled"].shape))

    return make


NETWORKS |= {
    "oblong mean": pooled("AveragePool", kernel_shape=[2, 4], strides=[2, 1]),
    "mean with padding": pooled(
        "AveragePool", kernel_shape=[2, 2], strides=[2, 1], pads=[1, 0, 0, 1], count_include_pad=1
    ),
    "mean with gaps": pooled("AveragePool", kernel_shape=[2, 1], strides=[3, 2]),
    "mean of unsigned": pooled("AveragePool", False, kernel_shape=[1, 2], strides=[1, 2]),
    "padded maximum behind a ReLU alone": pooled(
        "MaxPool", None, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "one row, kernel of three": lambda: thin((1, 6), (3, 3), [1, 0, 1, 1]),
    "one row, kernel beside it": lambda: thin((1, 6), (3, 3), [0, 0, 2, 0], dilations=[1, 2]),
    "one row, dilated kernel": lambda: thin((1, 6), (2, 3), [1, 0, 1, 0], dilations=[2, 1]),
    "one pixel": lambda: thin((1, 1), (3, 3), [1, 1, 1, 1]),
    "one pixel, depthwise": lambda: thin((1, 1), (3, 3), [1, 1, 1, 1], group=2),
}


def thin(sides: tuple[int, int], kernel: tuple[int, int], pads: list[int], **more):
    """A convolution over an image that is one pixel wide."""
    b = QonnxBuilder((2, *sides))
    x = b.quant("x", "x_q", 8, 6)
    weights = (4 // more.get("group", 1), 2 // more.get("group", 1), *kernel)
    b.conv(x, "conv", weights, 6, pads=pads, output="logits", **more)
    return b.model("logits", tuple(load_qonnx(b.model("logits", (1,))).types()["logits"].shape))


def check(model, samples: int) -> None:
    dataflow = convert(model)
    x = random_inputs(model, samples)
    assert dataflow.differences(x) == {"logits": 0}
    assert dataflow.differences(x, to_hardware(dataflow.model)) == {"logits": 0}
    codes = dataflow.run(x)["logits"]
    assert len(np.unique(codes)) > 2, "a test that compares constants proves nothing"


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    check(NETWORKS[name](), samples=8)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_rounding_that_qonnx_can_say(rounding):
    check(qonnx_models.mlp(rounding=rounding, bit_width=5), samples=20)


@pytest.mark.parametrize(
    "options",
    [
        {"bit_width": 8},
        {"bit_width": 8, "k": 2},
        {"bit_width": 4},
        {"bit_width": 4, "weight_bit_width": 6, "k": 2},
        {"bit_width": 10, "weight_bit_width": 6},
    ],
    ids=str,
)
def test_resnet8_of_cifar_shape(options):
    check(resnet8(**options), samples=1)


def test_wide_activations_have_no_thresholds():
    model = convert(qonnx_models.mlp(bit_width=12, weight_bit_width=4)).model
    assert op_types(model) == ["MatMul", "QFXRequant", "MatMul", "QFXRequant"]


def scaled(width: int = 6):
    """A layer whose sums are multiplied by a constant that is no power of two."""
    b = QonnxBuilder((16,))
    x = b.quant("x", "x_q", 8, 6)
    x = b.linear(x, "fc1", (16, 12), 4)
    factor = b.quant(b.constant("factor", 0.75), "factor_q", 4, 2)
    x = b.node("Mul", [x, factor], "scaled")
    x = b.activation(x, "fc1", width, 2)
    b.linear(x, "fc2", (12, 5), 4, output="logits")
    return b.model("logits", (5,))


def test_the_limit_of_thresholds_is_an_option():
    model = scaled()
    assert "MultiThreshold" in op_types(convert(model).model)
    without = convert(model, max_threshold_bits=2)
    assert "MultiThreshold" not in op_types(without.model)
    for dataflow in (convert(model), without):
        hardware = to_hardware(dataflow.model)
        assert dataflow.differences(random_inputs(model, 20), hardware) == {"logits": 0}


def test_a_cast_by_shifts_needs_no_thresholds_and_no_bias_of_its_own():
    hardware = to_hardware(convert(qonnx_models.mlp()).model)
    assert op_types(hardware) == ["QFXMVU", "QFXRequant", "QFXMVU"]
    requant = adapter.module("qonnx.custom_op.registry").getCustomOp(hardware.graph.node[1])
    assert not any(requant.get_nodeattr("offset"))
    assert requant.shifts is not None


def test_residuals_are_aligned_by_shifts():
    nodes = convert(resnet8(bit_width=4, width=2, size=8)).model.graph.node
    adds = [node for node in nodes if node.op_type == "QFXAdd"]
    shifts = [list(a.ints) for node in adds for a in node.attribute if a.name == "shifts"]
    assert shifts == [[3, 0], [1, 0], [1, 0]]


def test_a_planted_error_is_found():
    model = qonnx_models.mlp()
    dataflow = convert(model)
    (name,) = [t.name for t in dataflow.model.graph.initializer if t.name == "logits:sums:weight"]
    weight = dataflow.model.get_initializer(name).copy()
    weight[0, 0] += 1
    dataflow.model.set_initializer(name, weight)
    assert dataflow.differences(random_inputs(model, 20))["logits"] > 0
