"""Look-alikes of public models: their forms in small, equal to qonnx at every tensor."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import helper

from qfx_plugin.errors import OptionError, UnsupportedModelError
from qfx_plugin.ir import PRelu, Transpose, Upsample, interpret
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import verify
from tests import qonnx_models as models
from tests.qonnx_models import QONNX_DOMAIN, QonnxBuilder

LAST = "qonnx.custom_op.channels_last"


def qkeras_form() -> onnx.ModelProto:
    """MatMul on a float input, and a Softmax at the end: the zoo's jet tagging."""
    b = QonnxBuilder((6,))
    x = b.linear("x", "fc1", (6, 8), 6, bias=True, matmul=True, output="a1")
    x = b.activation(x, "fc1", 6, 3)
    b.linear(x, "fc2", (8, 3), 6, bias=True, matmul=True, output="logits")
    b.node("Softmax", ["logits"], "probabilities")
    return b.model("probabilities", (3,))


def unet_form(alpha: float = 0.1015625, mode: str = "nearest", **extra: object) -> onnx.ModelProto:
    """Channels last: depthwise, LeakyRelu, MaxPool, Resize, Concat, as in hls4ml's tiny U-net."""
    b = QonnxBuilder((8, 8, 3))
    full = {"dilations": [1, 1], "strides": [1, 1]}

    def conv(x: str, name: str, shape: tuple[int, ...], **attributes: object) -> str:
        weight = b.weight(f"{name}_w", shape, 4)
        b.node("Conv", [x, weight], f"{name}_acc", kernel_shape=list(shape[1:3]),
               **(full | attributes))  # fmt: skip
        b.nodes[-1].domain = LAST
        x = b.node("LeakyRelu", [f"{name}_acc"], f"{name}_act", alpha=alpha)
        return b.quant(x, name, 4, 1)

    x = b.quant("x", "x_q", 4, 2)
    x = conv(x, "depth", (3, 3, 3, 1), group=3, pads=[1] * 4)
    skip = conv(x, "point", (4, 1, 1, 3), group=1, pads=[0] * 4)
    x = b.node("MaxPool", [skip], "small", kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4)
    b.nodes[-1].domain = LAST
    x = conv(x, "deep", (4, 3, 3, 4), group=1, pads=[1] * 4)
    b.constant("roi", np.zeros(0))
    scales = b.constant("scales", np.array([1, 2, 2, 1]))
    options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} | extra
    x = b.node("Resize", [x, "roi", scales], "large", mode=mode, **options)
    x = b.node("Concat", [x, skip], "joined", axis=-1)
    x = conv(x, "last", (2, 1, 1, 8), group=1, pads=[0] * 4)
    b.node("Identity", [x], "logits")
    model = b.model("logits", (8, 8, 2))
    model.opset_import.append(helper.make_opsetid(LAST, 1))
    return model


@pytest.mark.filterwarnings("ignore")  # qonnx asks onnxruntime for opset 1
def test_a_channels_last_network_is_read_channels_first():
    model = unet_form()
    graph = load_qonnx(model)
    kinds = [type(op).__name__ for op in graph]
    assert kinds.count("Transpose") == 2  # in and out
    assert {"Upsample", "PRelu", "MaxPool", "Concat"} <= set(kinds)
    result = verify(model, models.random_inputs(model, 10), executors=["qonnx"])
    qonnx = result.raise_if_different(required=["qonnx"])["qonnx"]
    names = {tensor.name for tensor in qonnx.tensors}
    assert {"x_q", "large:channels_first", "joined:channels_first", "logits"} <= names


def test_a_slope_is_read_exactly_or_refused():
    graph = load_qonnx(unet_form())
    slope = next(op.slope for op in graph if isinstance(op, PRelu))
    assert (slope.codes.tolist(), slope.frac_bits.tolist()) == ([13], [7])
    text = "LeakyRelu 'depth_act_node': alpha must be a number of at most 16 significant bits"
    refused(unet_form(alpha=0.1), text)


def refused(model: onnx.ModelProto, text: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}"):
        load_qonnx(model)


def test_resizes_that_compute_are_refused():
    refused(unet_form(mode="linear"), "Resize 'large_node': mode must be 'nearest', not 'linear'")
    for mode, nearest in (("align_corners", "floor"), ("half_pixel", "floor")):
        changed = unet_form(coordinate_transformation_mode=mode, nearest_mode=nearest)
        refused(changed, f"Resize 'large_node': {mode} with {nearest} does not repeat")
    model = unet_form()
    for tensor in model.graph.initializer:
        if tensor.name == "scales":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32([1, 1.5, 2, 1]), "scales"))
    refused(
        model,
        "Resize 'large_node': scales must be whole numbers, 1 for batch and channels, not [1.0, "
        "1.5",
    )


MODES = [
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
]


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize(("shift", "nearest"), MODES)
def test_every_resize_that_repeats_equals_onnxruntime(shift, nearest, factor):
    b = QonnxBuilder((2, 3, 4))
    x = b.quant("x", "x_q", 6, 2)
    b.constant("roi", np.zeros(0))
    scales = b.constant("scales", np.array([1, 1, factor, 2]))
    b.node("Resize", [x, "roi", scales], "logits", mode="nearest",
           coordinate_transformation_mode=shift, nearest_mode=nearest)  # fmt: skip
    model = b.model("logits", (2, 3 * factor, 8))
    assert any(isinstance(op, Upsample) for op in load_qonnx(model))
    result = verify(model, models.random_inputs(model, 9), executors=["qonnx", "onnxruntime"])
    result.raise_if_different(required=["qonnx", "onnxruntime"])


def test_a_float_input_gets_a_format_and_the_softmax_is_left_out():
    model = qkeras_form()
    with pytest.raises(UnsupportedModelError, match=r"tensor 'x' must be quantized before it is"):
        load_qonnx(model, outputs=["logits"])
    with pytest.raises(UnsupportedModelError, match="^Softmax "):
        load_qonnx(model, input_formats={"x": "ap_fixed<10,4>"})
    options = {"input_formats": {"x": "ap_fixed<10,4>"}, "outputs": ["logits"]}
    graph = load_qonnx(model, **options)
    assert graph.outputs == ("logits",) and len(graph.inputs) == 1
    x = np.random.default_rng(3).normal(0, 6, (50, 6))
    result = verify(model, x, executors=["qonnx"], **options).raise_if_different()
    assert {"x", "logits"} <= set(graph.types()) and len(result["qonnx"].tensors) >= 4


def test_options_that_name_nothing_are_refused():
    text = "input_formats: input must be one of x, not 'y'"
    with pytest.raises(OptionError, match=f"^{text}$"):
        load_qonnx(qkeras_form(), input_formats={"y": "ap_fixed<8,4>"})


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)])
def test_a_transposed_activation_keeps_its_values(order):
    """In front of a Flatten, where the order of the elements matters."""
    b = QonnxBuilder((2, 3, 4))
    points = np.array([1, 3]).reshape(1, 2, 1, 1)
    x = b.quant("x", "x_q", 6, points)
    x = b.node("Transpose", [x], "turned", perm=list(order))
    x = b.node("Relu", [x], "above")
    x = b.node("Flatten", [x], "flat")
    b.linear(x, "fc", (24, 3), 4, bias=False, matmul=True, output="logits")
    model = b.model("logits", (3,))
    assert any(isinstance(op, Transpose) for op in load_qonnx(model))
    result = verify(model, models.random_inputs(model, 30), executors=["qonnx", "onnxruntime"])
    result.raise_if_different(required=["qonnx", "onnxruntime"])


def test_two_transposes_cancel_and_constants_follow_the_axes():
    b = QonnxBuilder((2, 3, 4))
    x = b.quant("x", "x_q", 6, 2)
    x = b.node("Transpose", [x], "last", perm=[0, 2, 3, 1])
    offset = b.weight("offset", (1, 1, 1, 2), 4)
    x = b.node("Add", [x, offset], "moved")
    slope = b.weight("slope", (2,), 4)
    x = b.node("PRelu", [x, slope], "bent")
    x = b.quant(x, "cast", 5, np.array([1, 2]).reshape(1, 1, 1, 2))
    x = b.node("Transpose", [x], "first", perm=[0, 3, 1, 2])
    b.node("Identity", [x], "logits")
    model = b.model("logits", (2, 3, 4))
    assert not any(isinstance(op, Transpose) for op in load_qonnx(model))
    result = verify(model, models.random_inputs(model, 30), executors=["qonnx", "onnxruntime"])
    result.raise_if_different(required=["qonnx", "onnxruntime"])


def test_a_transpose_may_not_move_the_batch():
    b = QonnxBuilder((2, 3))
    x = b.quant("x", "x_q", 6, 2)
    b.node("Transpose", [x], "logits", perm=[1, 0, 2])
    refused(
        b.model("logits", (2, 3)),
        "Transpose 'logits_node': perm must leave the batch where it is, not [1, 0, 2]",
    )


def test_only_known_operations_of_the_channels_last_domain():
    model = unet_form()
    node = next(node for node in model.graph.node if node.op_type == "MaxPool")
    node.op_type = "BatchNormalization"
    refused(model, f"BatchNormalization 'small_node': this operation of domain '{LAST}' is not sup")
    assert QONNX_DOMAIN != LAST
    assert interpret(load_qonnx(unet_form()), np.zeros((1, 8, 8, 3)))
