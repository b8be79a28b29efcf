"""QCDQ files in plain onnxruntime: the codes of `fixed_point`, on every tie and far outside."""

from __future__ import annotations

import copy

import brevitas.nn as qnn
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, calibrate, export_qonnx
from brevitas_quantizers.fixed_point import ExportError, OverflowMode, RoundingMode, cast_codes
from brevitas_quantizers.nn import QuantBatchNorm2d
from brevitas_quantizers.qonnx.qcdq import to_qcdq
from tests import qonnx_models as models
from tests.nn.networks import LAYERS, batch, trained

OVERFLOWS = list(OverflowMode)
STANDARD = {"QuantizeLinear", "Clip", "DequantizeLinear"}


def session(model: onnx.ModelProto, fused: bool = False) -> onnxruntime.InferenceSession:
    """onnxruntime as it is, or with float kernels between the casts."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not fused:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(model: onnx.ModelProto, x: np.ndarray, fused: bool = False) -> np.ndarray:
    runner = session(model, fused)
    return runner.run(None, {runner.get_inputs()[0].name: x})[0]


def one_cast(
    points: np.ndarray, width: int, signed: bool, rounding: str, overflow: str
) -> onnx.ModelProto:
    """A QONNX graph of a single Quant, as the exporter writes it before the rewriting."""
    modes = models.QONNX_ROUNDING
    builder = models.QonnxBuilder((max(1, points.size), 1))
    scale = points if points.ndim == 0 else points.reshape(1, -1, 1)
    mode, source = modes.get(rounding), "x"
    if mode is None:
        mode, sign = {"AP_RND": ("FLOOR", 1), "AP_RND_MIN_INF": ("CEIL", -1)}[rounding]
        half = builder.constant("half", sign * 2.0**-scale / 2)
        source = builder.node("Add", ["x", half], "added")
    builder.quant(
        source, "y", width, scale, signed=signed, rounding=rounding, overflow=overflow, mode=mode
    )
    model = builder.model("y", (points.size, 1))
    dims = [value.type.tensor_type.shape.dim for value in (*model.graph.input, *model.graph.output)]
    for dim in dims:
        dim[0].dim_param, dim[2].dim_param = "batch", "values"
    return model


def hard_values(width: int, points: np.ndarray) -> np.ndarray:
    """(values,) float32: eighths of an LSB to four times the range, beside ties, far off."""
    reach = 32 << width
    grid = np.arange(-reach, reach + 1, dtype=np.float32) / 8
    ties = np.arange(-(4 << width), 4 << width, dtype=np.float32) + np.float32(0.5)
    beside = [np.nextafter(ties, np.float32(end)) for end in (-np.inf, np.inf)]
    far = np.array([2.0**e + d for e in range(width, 60) for d in (-1, -0.5, 0, 0.5, 1)])
    tiny = np.float32([0.49999997, -0.49999997, 1e-30, -1e-30, 8388607.5, -8388607.5, -0.0])
    values = np.concatenate([grid, *beside, far, -far, tiny]).astype(np.float32)
    return values * np.float32(2.0 ** -int(points.reshape(-1)[0]))


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("rounding", RoundingMode)
def test_every_mode_pair_on_all_ties_and_out_of_range(rounding, overflow):
    for signed in (True, False):
        for width in (2, 3, 8):
            for points in (np.array(-2), np.array(7), np.array([0, 3, -1])):
                model = to_qcdq(one_cast(points, width, signed, rounding, overflow))
                onnx.checker.check_model(model)
                x = hard_values(width, points)
                x = np.broadcast_to(x, (1, max(1, points.size), x.size))
                expected = cast_codes(
                    x, points.reshape(-1, 1), width, signed, RoundingMode(rounding), overflow
                )
                got = run(model, x) * 2.0 ** points.reshape(-1, 1)
                np.testing.assert_array_equal(got, expected)


def test_only_standard_operators_and_no_more_than_needed():
    plain = to_qcdq(one_cast(np.array(3), 8, True, "AP_RND_CONV", "AP_SAT"))
    assert [node.op_type for node in plain.graph.node] == ["QuantizeLinear", "DequantizeLinear"]
    narrow = to_qcdq(one_cast(np.array(3), 5, True, "AP_RND_CONV", "AP_SAT_SYM"))
    (clip,) = [node for node in narrow.graph.node if node.op_type == "Clip"]
    constants = {tensor.name: tensor for tensor in narrow.graph.initializer}
    bounds = [numpy_helper.to_array(constants[name]) for name in clip.input[1:]]
    assert [(bound.dtype, int(bound)) for bound in bounds] == [(np.int8, -15), (np.int8, 15)]
    half = to_qcdq(one_cast(np.array(3), 8, True, "AP_RND", "AP_SAT"))
    assert "Add" not in {node.op_type for node in half.graph.node}
    assert {opset.domain for opset in half.opset_import} <= {"", "ai.onnx"}


FILES = {
    "mlp": models.mlp,
    "mlp per channel": lambda **o: models.mlp(per_channel=True, **o),
    "mlp by matmul": lambda **o: models.mlp(matmul=True, **o),
    "cnn AP_RND": lambda **o: models.cnn(rounding="AP_RND", **o),
    "residual": models.residual,
    "depthwise per channel": lambda **o: models.depthwise(per_channel=True, **o),
    "concat": models.concat,
    "average pool": models.average_pool,
    "channel activations": models.per_channel_activation,
}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_whole_files_run_as_the_interpreter_does(name, fused, seed):
    """Also with integer kernels: 7-bit weights, because those of old CPUs add pairs in 16 bits."""
    from qfx_plugin.ir import interpret
    from qfx_plugin.qonnx_import import load_qonnx

    model = FILES[name](bit_width=7, seed=seed)
    x = models.random_inputs(model, 20, seed)
    expected = interpret(load_qonnx(model), x)["logits"].values
    rewritten = to_qcdq(model)
    onnx.checker.check_model(rewritten)
    got = np.concatenate([run(rewritten, sample[None], fused) for sample in x])
    np.testing.assert_array_equal(got, expected)


def network(**act: object) -> nn.Sequential:
    """Conv, batch norm, ReLU, K-hot linear layer; calibrated."""
    act = {"act_quant": QFXFixedPoint, "bit_width": 6, **act}
    model = nn.Sequential(
        qnn.QuantIdentity(**act),
        qnn.QuantConv2d(2, 4, 3, bias_quant=QFXFixedPoint, weight_quant=QFXFixedPoint,
                        weight_scaling_per_output_channel=True),
        QuantBatchNorm2d(4),
        qnn.QuantReLU(**act),
        nn.Flatten(),
        qnn.QuantLinear(64, 5, weight_quant=QFXKHot, bias_quant=QFXFixedPoint, weight_bit_width=12),
    )  # fmt: skip
    calibrate(model, [torch.randn(16, 2, 6, 6)])
    return model.eval()


EXPORTS = [
    *((rounding, overflow, False) for rounding in RoundingMode for overflow in OVERFLOWS),
    ("AP_RND", "AP_SAT", True),
    ("AP_RND_MIN_INF", "AP_WRAP", True),
]


@pytest.mark.parametrize(("rounding", "overflow", "dynamo"), EXPORTS)
def test_exported_networks_equal_torch(rounding, overflow, dynamo, torch_seed):
    model = network(rounding=rounding, overflow=overflow)
    x = torch.randn(8, 2, 6, 6) * 3
    exported = export_qonnx(model, x, target="qcdq", dynamo=dynamo)
    kinds = {node.op_type for node in exported.graph.node}
    assert kinds >= STANDARD and not kinds & {"Quant"}
    assert "qfx" in {entry.key for entry in exported.metadata_props}
    with torch.no_grad():
        np.testing.assert_array_equal(run(exported, x.numpy()), model(x).numpy())


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_equals_torch(name, torch_seed):
    model = trained(name, 5)
    x = batch(model, 16)
    exported = export_qonnx(model, x, target="qcdq")
    with torch.no_grad():
        np.testing.assert_array_equal(run(exported, x.numpy()), model(x).numpy())


def test_biases_are_on_the_scale_that_integer_kernels_assume():
    model = to_qcdq(models.mlp())
    (gemm, *_) = [node for node in model.graph.node if node.op_type == "Gemm"]
    makers = {node.output[0]: node for node in model.graph.node}
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    x, weight, bias = (makers[name] for name in gemm.input)
    product = constants[x.input[1]] * constants[weight.input[1]]
    assert constants[bias.input[0]].dtype == np.int32
    np.testing.assert_array_equal(constants[bias.input[1]], product)


def test_a_bias_finer_than_the_accumulator_stays_float():
    builder = models.QonnxBuilder((4,))
    builder.quant("x", "x_q", 8, 1)
    weight = builder.weight("w", (3, 4), 4, frac_bits=1)
    bias = builder.weight("b", (3,), 8, frac_bits=7)
    builder.node("Gemm", ["x_q", weight, bias], "logits", transB=1)
    model = builder.model("logits", (3,))
    rewritten = to_qcdq(model)
    (tensor,) = [t for t in rewritten.graph.initializer if t.name == bias]
    assert tensor.data_type == TensorProto.FLOAT


def refusal(model: object, **options: object) -> str:
    with pytest.raises(ExportError) as caught:
        if isinstance(model, onnx.ModelProto):
            to_qcdq(model)
        else:
            export_qonnx(model, torch.randn(1, 2, 6, 6), target="qcdq", **options)
    return str(caught.value)


def test_refusals_name_the_layer_and_what_works(torch_seed):
    assert refusal(network(bit_width=9)) == (
        "0.act: QCDQ has activations of at most 8 bits, not 9; use bit_width=8"
    )
    assert refusal(one_cast(np.array(0), 9, True, "AP_TRN", "AP_SAT")) == (
        "y: an activation of QuantizeLinear has at most 8 bits, not 9"
    )
    old = models.mlp()
    old.opset_import[0].version = 11
    assert refusal(old) == "QCDQ needs opset 13 or later, not 11"


def test_files_of_others_that_are_no_fixed_point_are_refused():
    def spoilt(name: str, value: float) -> onnx.ModelProto:
        model = copy.deepcopy(models.mlp())
        for tensor in model.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(np.float32(value), name))
        return model

    assert refusal(spoilt("x_q_scale", 0.3)) == (
        "Quant 'x_q_node': scale must be a power of two, not 0.300000012"
    )
    assert refusal(spoilt("x_q_zero", 1)) == "Quant 'x_q_node': zero point must be 0, not 1"
    assert refusal(spoilt("x_q_bits", 4.5)) == (
        "Quant 'x_q_node': bit width must be a whole number from 2 to 32, not 4.5"
    )
    model = models.mlp()
    node = next(node for node in model.graph.node if node.op_type == "Quant")
    node.attribute.extend([helper.make_attribute("other", 1)])
    assert refusal(model).endswith("attribute 'other' is not supported")


def test_operators_that_are_no_standard_ones_are_refused():
    from tests.qonnx.test_variants import channels_last, complete

    assert refusal(channels_last(complete(models.cnn()))).endswith(
        ": QCDQ has standard operators only, not those of domain 'qonnx.custom_op.channels_last': "
        "give the file as it was exported, channels first"
    )
