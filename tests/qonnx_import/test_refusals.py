"""What is no exact fixed point is refused by node name, rule and value; the texts are pinned."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from brevitas_quantizers import import_qonnx
from qfx_plugin.errors import QfxError, UnsupportedModelError
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models
from tests.qonnx_models import QonnxBuilder

Change = Callable[[onnx.ModelProto], None]


def constant(name: str, value: object) -> Change:
    """Replace an initializer."""

    def change(model: onnx.ModelProto) -> None:
        (tensor,) = [t for t in model.graph.initializer if t.name == name]
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(value, dtype=np.float32), name))

    return change


def node_of(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    (node,) = [node for node in model.graph.node if output in node.output]
    return node


def attribute(output: str, **values: object) -> Change:
    """Set attributes of the node that computes `output`."""

    def change(model: onnx.ModelProto) -> None:
        node = node_of(model, output)
        kept = [entry for entry in node.attribute if entry.name not in values]
        del node.attribute[:]
        new = [helper.make_attribute(name, value) for name, value in values.items()]
        node.attribute.extend([*kept, *new])

    return change


def inputs(output: str, *names: str) -> Change:
    """Replace a node's operands."""

    def change(model: onnx.ModelProto) -> None:
        node = node_of(model, output)
        del node.input[:]
        node.input.extend(names)

    return change


def operation(output: str, op_type: str, domain: str = "") -> Change:
    """Turn a node into another operation without attributes."""

    def change(model: onnx.ModelProto) -> None:
        node = node_of(model, output)
        node.op_type, node.domain = op_type, domain
        del node.attribute[:]

    return change


MLP_CASES: dict[str, tuple[Change, str]] = {
    "scale": (
        constant("fc1_out_scale", 0.3),
        "Quant 'fc1_out_node': scale must be a power of two, not 0.300000012",
    ),
    "negative scale": (
        constant("fc1_out_scale", -0.5),
        "Quant 'fc1_out_node': scale must be a power of two, not -0.5",
    ),
    "zero scale": (
        constant("fc1_wq_scale", 0),
        "Quant 'fc1_wq_node': scale must be a power of two, not 0",
    ),
    "nan scale": (
        constant("fc1_wq_scale", np.nan),
        "Quant 'fc1_wq_node': scale must be a power of two, not nan",
    ),
    "zero point": (
        constant("x_q_zero", 3),
        "Quant 'x_q_node': zero point must be 0, not 3",
    ),
    "one bit": (
        constant("x_q_bits", 1),
        "Quant 'x_q_node': bit width 1 is bipolar in QONNX, which is no fixed-point format",
    ),
    "fractional bits": (
        constant("x_q_bits", 3.5),
        "Quant 'x_q_node': bit width must be a whole number from 2 to 32, not 3.5",
    ),
    "too many bits": (
        constant("x_q_bits", 33),
        "Quant 'x_q_node': bit width must be a whole number from 2 to 32, not 33",
    ),
    "nan bits": (
        constant("x_q_bits", np.nan),
        "Quant 'x_q_node': bit width must be a whole number from 2 to 32, not nan",
    ),
    "bits per channel": (
        constant("x_q_bits", [3, 4]),
        "Quant 'x_q_node': bit width must be one number, not 2 different ones",
    ),
    "narrow unsigned": (
        attribute("fc1_out", narrow=1),
        "Quant 'fc1_out_node': narrow must be 0 for an unsigned format: ap_ufixed has no narrow "
        "range",
    ),
    "rounding": (
        attribute("x_q", rounding_mode="SIDEWAYS"),
        "Quant 'x_q_node': rounding mode 'SIDEWAYS' has no ap_fixed equivalent: ",
    ),
    "rounding contradiction": (
        attribute("x_q", qfx_rounding="AP_TRN"),
        "Quant 'x_q_node': qfx_rounding is AP_TRN, but the standard attributes mean AP_RND_CONV: "
        "the file contradicts itself",
    ),
    "lost half LSB": (
        attribute("x_q", qfx_rounding="AP_RND", rounding_mode="FLOOR"),
        "Quant 'x_q_node': qfx_rounding is AP_RND, but the standard attributes mean AP_TRN: "
        "the file contradicts itself",
    ),
    "overflow contradiction": (
        attribute("x_q", qfx_overflow="AP_WRAP"),
        "Quant 'x_q_node': qfx_overflow is AP_WRAP, but the standard attributes mean AP_SAT: "
        "the file contradicts itself",
    ),
    "unknown qfx mode": (
        attribute("x_q", qfx_overflow="AP_CLIP"),
        "Quant 'x_q_node': qfx_overflow: overflow mode must be one of ",
    ),
    "khot activation": (
        attribute("x_q", qfx_k=2),
        "Quant 'x_q_node': qfx_k is for weights; its operand is no initializer",
    ),
    "not khot": (
        attribute("fc1_wq", qfx_k=1),
        "Quant 'fc1_wq_node': initializer 'fc1_w' is not 1-hot as qfx_k says",
    ),
    "khot digits": (
        attribute("fc1_wq", qfx_k=1, qfx_digits="ternary"),
        "Quant 'fc1_wq_node': qfx_k must be at least 1 and qfx_digits 'signed' or 'binary', not 1 "
        "and 'ternary'",
    ),
    "uncast weight": (
        constant("fc1_b", np.full(32, 0.001)),
        "Quant 'fc1_bq_node': initializer 'fc1_b' must hold values that are cast already (the "
        "node has qfx_rounding), but 32 of 32 are not; the first is ",
    ),
    "nan weight": (
        constant("fc1_b", np.full(32, np.nan)),
        "Quant 'fc1_bq_node': initializer 'fc1_b': ",
    ),
    "float weight": (
        inputs("fc1_acc", "x_q", "fc1_w", "fc1_bq"),
        "Gemm 'fc1_acc_node': its weight 'fc1_w' is float; it must go through a Quant node to be "
        "fixed point",
    ),
    "computed weight": (
        inputs("fc1_acc", "x_q", "x_q", "fc1_bq"),
        "Gemm 'fc1_acc_node': its weight 'x_q' must be an initializer behind a Quant node",
    ),
    "weight shape": (
        inputs("logits", "fc1_out", "fc1_wq", "fc2_bq"),
        "Gemm 'logits_node': bias must have 32 values, not shape [10]",
    ),
    "missing Quant": (
        inputs("fc1_acc", "x", "fc1_wq", "fc1_bq"),
        "Linear 'fc1_acc_node': tensor 'x' must be quantized before it is used here; put a Quant "
        "node after the network's input",
    ),
    "alpha": (
        attribute("fc1_acc", alpha=0.5),
        "Gemm 'fc1_acc_node': alpha must be 1.0, not 0.5: it would change the weights",
    ),
    "beta": (
        attribute("fc1_acc", beta=2.0),
        "Gemm 'fc1_acc_node': beta must be 1.0, not 2.0: it would change the bias",
    ),
    "transA": (
        attribute("fc1_acc", transA=1),
        "Gemm 'fc1_acc_node': transA must be 0, not 1",
    ),
    "attribute kind": (
        attribute("fc1_acc", transB=[1, 2]),
        "Gemm 'fc1_acc_node': attribute 'transB' must be an integer",
    ),
    "unknown attribute": (
        attribute("fc1_relu", slope=1.0),
        "Relu 'fc1_relu_node': attribute 'slope' is not supported",
    ),
    "operation": (
        operation("fc1_relu", "Sigmoid"),
        "Sigmoid 'fc1_relu_node': this operation is not supported; supported are Quant, Add, ",
    ),
    "domain": (
        operation("fc1_relu", "Relu", "com.example"),
        "Relu 'fc1_relu_node': this operation of domain 'com.example' is not supported; "
        "supported are ",
    ),
    "computed scale": (
        inputs("fc1_out", "fc1_relu", "fc1_acc", "fc1_out_zero", "fc1_out_bits"),
        "Quant 'fc1_out_node': its scale 'fc1_acc' must be an initializer",
    ),
    "operand count": (
        inputs("fc1_out", "fc1_relu", "fc1_out_scale"),
        "Quant 'fc1_out_node': must have 4 inputs, not 2",
    ),
    "quantized twice": (
        inputs("fc2_wq", "fc1_wq", "fc2_wq_scale", "fc2_wq_zero", "fc2_wq_bits"),
        "Quant 'fc2_wq_node': its operand 'fc1_wq' is quantized already",
    ),
    "scale shape": (
        constant("fc1_wq_scale", np.full((7, 1), 0.5)),
        "Quant 'fc1_wq_node': scale of shape [7, 1] does not fit [32, 16]",
    ),
}


@pytest.mark.parametrize("name", MLP_CASES)
def test_refused(name):
    change, text = MLP_CASES[name]
    model = models.mlp()
    change(model)
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}") as caught:
        load_qonnx(model)
    assert "\n" not in str(caught.value)


CNN_CASES: dict[str, tuple[Change, str]] = {
    "auto pad": (
        attribute("conv1_acc", auto_pad="SAME_UPPER"),
        "Conv 'conv1_acc_node': auto_pad must be NOTSET or VALID with explicit pads, not "
        "'SAME_UPPER'",
    ),
    "stride": (
        attribute("conv1_acc", strides=[0, 1]),
        "Conv 'conv1_acc_node': its geometry is impossible: ",
    ),
    "negative pads": (
        attribute("conv1_acc", pads=[-1, 0, 0, 0]),
        "Conv 'conv1_acc_node': its geometry is impossible: ",
    ),
    "pads": (
        attribute("conv1_acc", pads=[1, 1]),
        "Conv 'conv1_acc_node': strides, dilations and pads must fit a kernel of 2 dimensions",
    ),
    "groups": (
        attribute("conv2_acc", group=3),
        "Conv 'conv2_acc_node': weight [6, 4, 3, 3] with 3 groups needs 12 input channels, not 4",
    ),
    "kernel": (
        attribute("conv1_pool", kernel_shape=[2]),
        "MaxPool 'conv1_pool_node': strides, dilations and pads must fit a kernel of 1 dimensions",
    ),
    "dilated pool": (
        attribute("conv1_pool", dilations=[2, 2]),
        "MaxPool 'conv1_pool_node': its geometry is impossible: ",
    ),
    "axis": (attribute("flat", axis=2), "Flatten 'flat_node': axis must be 1, not 2"),
}


@pytest.mark.parametrize("name", CNN_CASES)
def test_refused_in_a_cnn(name):
    change, text = CNN_CASES[name]
    model = models.cnn()
    change(model)
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}"):
        load_qonnx(model)


def test_an_average_of_nine_is_refused():
    model = models.cnn(pool="average")
    attribute("conv1_pool_mean", kernel_shape=[3, 3])(model)
    text = (
        "AveragePool 'conv1_pool_mean_node': its window must hold a power of two of elements, not "
        "9; QuantAvgPool2d and QuantGlobalAvgPool2d of brevitas_quantizers.nn have a fixed-point "
        "reciprocal"
    )
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}$"):
        load_qonnx(model)


def test_a_padded_average_must_count_its_padding():
    model = models.cnn(pool="average")
    attribute("conv1_pool_mean", pads=[1, 1, 1, 1])(model)
    with pytest.raises(UnsupportedModelError, match="count_include_pad must be 1 where pads are"):
        load_qonnx(model)


def test_a_reshape_must_leave_the_batch_alone():
    model = models.average_pool()
    (shape,) = [t for t in model.graph.initializer if t.name == "shape"]
    shape.CopyFrom(numpy_helper.from_array(np.array([2, -1]), "shape"))
    text = "Reshape 'flat_node': shape [2, -1] must keep the batch as its first dimension"
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}$"):
        load_qonnx(model)


@pytest.mark.parametrize("read", [load_qonnx, import_qonnx])
def test_activations_differ_along_one_axis_only(read):
    b = QonnxBuilder((2, 3))
    b.quant("x", "logits", 4, np.array([[[1, 2, 3], [1, 2, 4]]]))
    text = "Quant 'logits_node': scale of shape [1, 2, 3] must differ along one axis only"
    with pytest.raises(QfxError, match=f"^{re.escape(text)}$"):
        read(b.model("logits", (2, 3)))


def test_an_unquantized_constant_is_refused_by_an_add():
    b = QonnxBuilder((3,))
    b.node("Add", [b.quant("x", "x_q", 4, 2), b.constant("c", 0.3)], "logits")
    text = "Add 'logits_node': its offset must be numbers of at most 16 bits on one binary point"
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}"):
        load_qonnx(b.model("logits", (3,)))


def test_unknown_sizes_and_integer_inputs_are_refused():
    model = models.mlp()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "features"
    with pytest.raises(
        UnsupportedModelError, match="^input 'x': all dimensions but the batch must"
    ):
        load_qonnx(model)
    model = models.mlp()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    with pytest.raises(UnsupportedModelError, match="^input 'x': its elements must be floats$"):
        load_qonnx(model)
    model = models.mlp()
    del model.graph.input[0].type.tensor_type.shape.dim[1:]
    with pytest.raises(UnsupportedModelError, match="^input 'x': must have a batch and at least"):
        load_qonnx(model)
