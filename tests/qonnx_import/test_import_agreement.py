"""The imported graph against qonnx's own executor: every named tensor, zero differences."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.ir import Linear, Quantize, interpret
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import verify
from tests import qonnx_models as models
from tests.qonnx_models import QonnxBuilder

NETWORKS = {
    "mlp": models.mlp,
    "mlp without bias": partial(models.mlp, bias=False),
    "mlp by matmul": partial(models.mlp, matmul=True),
    "mlp per channel": partial(models.mlp, per_channel=True),
    "mlp symmetric": partial(models.mlp, overflow="AP_SAT_SYM"),
    "mlp two-hot": partial(models.mlp, k=2),
    **{f"mlp {mode}": partial(models.mlp, rounding=mode) for mode in models.QONNX_ROUNDING},
    "mlp AP_RND": partial(models.mlp, rounding="AP_RND"),
    "cnn": models.cnn,
    "cnn per channel": partial(models.cnn, per_channel=True),
    "cnn AP_RND": partial(models.cnn, rounding="AP_RND"),
    "cnn average": partial(models.cnn, pool="average"),
    "cnn one-hot": partial(models.cnn, k=1),
    "residual": models.residual,
    "residual per channel": partial(models.residual, per_channel=True),
    "depthwise": models.depthwise,
    "depthwise per channel": partial(models.depthwise, per_channel=True),
    "concat": models.concat,
    "global average": models.average_pool,
    "average": partial(models.average_pool, global_pool=False),
    "conv1d": models.conv1d,
    "channel activations": models.per_channel_activation,
}


@pytest.mark.parametrize("bit_width", [3, 6, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_equals_qonnx(name, bit_width, seed):
    model = NETWORKS[name](bit_width=bit_width, seed=seed)
    onnx.checker.check_model(model)
    result = verify(model, models.random_inputs(model, 64, seed), executors=["qonnx"])
    result.raise_if_different(required=["qonnx"])
    tensors = {tensor.name for tensor in result["qonnx"].tensors}
    assert {"x_q", "logits"} <= tensors


@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_of_the_file_does_not_matter(batch, tmp_path):
    model = models.average_pool(batch=batch)
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path))
    result = verify(path, models.random_inputs(model, 20), executors=["qonnx"])
    assert result.raise_if_different()["qonnx"].samples == 20


def test_saturation_and_ties_are_exercised():
    model = models.mlp()
    graph = load_qonnx(model)
    x = models.random_inputs(model, 200)
    codes = interpret(graph, x, keep=["x_q", "fc1_out"])
    assert codes["x_q"].codes.max() == 127
    assert codes["x_q"].codes.min() == -128
    assert codes["fc1_out"].codes.max() == 255
    assert np.any(np.mod(x * 64, 1) == 0.5)


def test_half_an_lsb_before_floor_becomes_one_cast():
    graph = load_qonnx(models.mlp(rounding="AP_RND"))
    casts = [op for op in graph if isinstance(op, Quantize)]
    assert [op.rounding for op in casts] == [RoundingMode.AP_RND, RoundingMode.AP_RND]
    assert "x_q_add" not in graph.types()


def test_symmetric_saturation_comes_from_narrow():
    graph = load_qonnx(models.mlp(overflow="AP_SAT_SYM"))
    assert graph.producer("x_q").overflow is OverflowMode.AP_SAT_SYM


def test_khot_weights_keep_their_k():
    layer = load_qonnx(models.mlp(k=2)).producer("logits")
    assert isinstance(layer, Linear)
    assert (layer.weight.k, layer.weight.digits, layer.weight.name) == (2, "signed", "fc2_w")


def test_weights_per_channel_keep_their_binary_points():
    layer = load_qonnx(models.mlp(per_channel=True)).producer("logits")
    assert layer.weight.frac_bits.shape == (10,)
    assert not layer.weight.uniform


def test_files_of_others_without_qfx_attributes_are_cast_as_they_say(rng):
    b = QonnxBuilder((6,))
    b.constant("w", rng.normal(size=(4, 6)))
    for name, source, mode in (("x_q", "x", "ROUND"), ("w_q", "w", "FLOOR")):
        operands = [source, b.constant(f"{name}_s", 0.125), b.constant(f"{name}_z", 0)]
        operands.append(b.constant(f"{name}_b", 5))
        b.node("Quant", operands, name, signed=1, narrow=0, rounding_mode=mode)
        b.nodes[-1].domain = "onnx.brevitas"
    b.node("Gemm", ["x_q", "w_q"], "logits", transB=1)
    model = b.model("logits", (4,))
    verify(model, models.random_inputs(model, 50), executors=["qonnx"]).raise_if_different()


def test_scales_along_the_inputs_are_aligned_exactly(rng):
    b = QonnxBuilder((3,))
    x = b.quant("x", "x_q", 6, 4)
    points = np.array([[1], [3], [2]])
    b.constant("w", rng.integers(-8, 8, (3, 4)) * np.exp2(-points.astype(float)))
    wq = b.quant("w", "w_q", 4, points, mode="ROUND")
    b.node("MatMul", [x, wq], "logits")
    model = b.model("logits", (4,))
    verify(model, models.random_inputs(model, 50), executors=["qonnx"]).raise_if_different()
    layer = load_qonnx(model).producer("logits")
    assert layer.weight.frac_bits.tolist() == [3]


def shape_nodes(dynamic: bool) -> onnx.ModelProto:
    """Flatten as exporters write `x.view(x.size(0), -1)`, then ReduceMean and Squeeze elsewhere."""
    b = QonnxBuilder((2, 4, 4))
    x = b.quant("x", "x_q", 6, 4)
    b.initializers["zero"] = np.array(0)
    b.initializers["axes"] = np.array([0])
    b.initializers["rest"] = np.array([-1])
    size = b.node("Gather", [b.node("Shape", [x], "shape"), "zero"], "size", axis=0)
    vector = b.node("Unsqueeze", [size, "axes"], "vector")
    target = b.node("Concat", [vector, "rest"], "target", axis=0)
    left = b.linear(b.node("Reshape", [x, target], "flat"), "fc1", (32, 3), 6)
    left = b.quant(left, "left", 6, 2)
    mean = b.node("ReduceMean", [x], "mean", axes=[2, 3])
    b.initializers["spatial"] = np.array([2, 3])
    right = b.node("Squeeze", [mean, "spatial"], "mean_flat")
    right = b.quant(b.node("Identity", [right], "same"), "right", 6, 4)
    b.node("Concat", [left, right], "logits", axis=1)
    model = b.model("logits", (5,))
    if dynamic:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


@pytest.mark.parametrize("dynamic", [False, True])
def test_shape_arithmetic_and_means(dynamic):
    model = shape_nodes(dynamic)
    result = verify(model, _inputs((2, 4, 4)), executors=["qonnx"]).raise_if_different()
    assert result["qonnx"].tensors[-1].name == "logits"


def test_reduce_mean_without_kept_dimensions(rng):
    b = QonnxBuilder((2, 4, 4))
    mean = b.node("ReduceMean", [b.quant("x", "x_q", 6, 4)], "mean", axes=[-1, -2], keepdims=0)
    b.linear(b.quant(mean, "m", 6, 4), "fc1", (2, 3), 6, output="logits")
    model = b.model("logits", (3,))
    verify(model, _inputs((2, 4, 4)), executors=["qonnx"]).raise_if_different()


def test_nodes_may_come_in_any_order_and_dead_ones_are_dropped():
    model = models.mlp()
    expected = str(load_qonnx(model))
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, helper.make_node("Softmax", ["logits"], ["dead"])])
    assert sorted(str(load_qonnx(model)).splitlines()) == sorted(expected.splitlines())


def test_constants_may_be_nodes():
    model = models.mlp()
    tensors = list(model.graph.initializer)
    del model.graph.initializer[:]
    constants = [helper.make_node("Constant", [], [t.name], value=t) for t in tensors]
    nodes = [*constants, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    verify(model, models.random_inputs(model, 20), executors=["qonnx"]).raise_if_different()


def test_a_file_gives_its_name_to_the_graph(tmp_path: Path):
    onnx.save(models.mlp(), str(tmp_path / "jets.onnx"))
    assert load_qonnx(tmp_path / "jets.onnx").name == "jets"
    assert load_qonnx(str(tmp_path / "jets.onnx")).name == "jets"


def _inputs(shape: tuple[int, ...]) -> np.ndarray:
    return np.rint(np.random.default_rng(0).normal(0, 256, size=(40, *shape))) / 256


def test_dropout_does_nothing_in_inference():
    model = models.mlp()
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.output[0] = "dropped"
    dropout = helper.make_node("Dropout", ["dropped"], ["fc1_relu"], name="drop")
    model.graph.node.insert(list(model.graph.node).index(node) + 1, dropout)
    verify(model, models.random_inputs(model, 20), executors=["qonnx"]).raise_if_different()
