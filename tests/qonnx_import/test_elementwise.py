"""Mul, PRelu, Clip, ReduceSum and Unsqueeze of hand-written files, against qonnx's executor."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import Clip, Multiply, PRelu, SumPool
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import verify
from tests import qonnx_models as models
from tests.qonnx_models import QonnxBuilder

SHAPE = (3, 4, 4)


def build(*constants: tuple[str, object], op: str, **attributes: object) -> QonnxBuilder:
    """`op` of the quantized input and constants; those that end in `_q` are quantized."""
    b = QonnxBuilder(SHAPE)
    operands = [b.quant("x", "x_q", 8, 4)]
    for name, value in constants:
        if name.endswith("_q"):
            b.constant(name[:-2], value)
            operands.append(b.quant(name[:-2], name, 8, 3, mode="ROUND"))
        else:
            operands.append(b.constant(name, value))
    b.node(op, operands, "y", **attributes)
    return b


def agree(b: QonnxBuilder, shape: tuple[int, ...] = SHAPE) -> object:
    """Check against qonnx at every tensor; returns the operation."""
    b.node("Identity", ["y"], "logits")
    model = b.model("logits", shape)
    inputs = models.random_inputs(model, 50)
    verify(model, inputs, executors=["qonnx"]).raise_if_different(required=["qonnx"])
    return load_qonnx(model).producer("y")


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 1, 1), (1, 1, 1, 1), (1,), (), (3, 4, 4)])
def test_mul_by_constants_of_any_broadcastable_shape(shape, rng):
    values = rng.integers(-99, 99, shape) / 8
    assert isinstance(agree(build(("c_q", values), op="Mul")), Multiply)


def test_mul_of_two_tensors():
    b = QonnxBuilder(SHAPE)
    x = b.quant("x", "x_q", 8, 4)
    b.node("Mul", [x, b.quant(x, "other", 5, 2, signed=False)], "y")
    agree(b)


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 3, 1, 1), (1, 1, 1), (1,)])
def test_prelu_slopes(shape, rng):
    op = agree(build(("c_q", rng.integers(-99, 99, shape) / 8), op="PRelu"))
    assert isinstance(op, PRelu) and op.slope.codes.shape == (np.prod(shape, dtype=int),)


def test_unsqueezed_slopes(rng):
    b = QonnxBuilder(SHAPE)
    x = b.quant("x", "x_q", 8, 4)
    b.constant("c", rng.integers(-99, 99, 3) / 8)
    b.initializers["axes"] = np.array([1, -1])
    slope = b.node("Unsqueeze", [b.quant("c", "c_q", 8, 3, mode="ROUND"), "axes"], "slope")
    b.node("PRelu", [x, slope], "y")
    assert agree(b).slope.codes.shape == (3,)


def test_clip():
    op = agree(build(("low", -0.375), ("high", 2.5), op="Clip"))
    assert (op.low, op.high, op.frac_bits) == (-3, 20, 3)
    op = agree(build(("low", -np.inf), ("high", 6.0), op="Clip"))
    assert isinstance(op, Clip) and (op.low, op.high, op.frac_bits) == (None, 6, 0)


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.5), (-2.5, 0.0), (0.0, 0.0), (-0.0, 1.0)])
def test_a_bound_of_zero_is_one(low, high):
    op = agree(build(("low", low), ("high", high), op="Clip"))
    assert (op.low, op.high) == (int(low * 2**op.frac_bits), int(high * 2**op.frac_bits))


def test_clip_by_attributes_without_one_bound():
    b = build(op="Clip", min=0.0)
    b.node("Identity", ["y"], "logits")
    model = b.model("logits", SHAPE)
    model.opset_import[0].version = 10
    op = load_qonnx(model).producer("y")
    assert (op.low, op.high, op.frac_bits) == (0, None, 0)


def test_a_leaky_relu_has_a_slope_of_a_hundredth_unless_it_says_otherwise():
    with pytest.raises(UnsupportedModelError, match="significant bits, not 0.00999999978"):
        load_qonnx(finished(build(op="LeakyRelu")))
    op = agree(build(op="LeakyRelu", alpha=0.375))
    assert (op.slope.codes.tolist(), op.slope.frac_bits.tolist()) == ([3], [3])


def finished(b: QonnxBuilder) -> object:
    """The model whose output is `y`."""
    b.node("Identity", ["y"], "logits")
    return b.model("logits", SHAPE)


def test_reduce_sum():
    b = QonnxBuilder(SHAPE)
    b.initializers["axes"] = np.array([2, 3])
    b.node("ReduceSum", [b.quant("x", "x_q", 8, 4), "axes"], "y", keepdims=1)
    assert isinstance(agree(b, (3, 1, 1)), SumPool)


def test_an_identity_of_an_initializer_is_that_initializer(rng):
    b = QonnxBuilder(SHAPE)
    x = b.quant("x", "x_q", 8, 4)
    b.constant("c", rng.integers(-99, 99, (3, 1, 1)) / 8)
    b.node("Identity", ["c"], "same")
    b.node("Mul", [x, b.quant("same", "same_q", 8, 3, mode="ROUND")], "y")
    agree(b)


REFUSALS = {
    "float slope": (
        build(("c", 0.25), op="PRelu"),
        "PRelu 'y_node': its slope 'c' is float; it must go through a Quant node to be fixed point",
    ),
    "slope per element": (
        build(("c_q", np.ones((1, 4, 4))), op="PRelu"),
        "PRelu 'y_node': its slope must be one value, or one for each channel of [3, 4, 4], not of "
        "shape [1, 4, 4]",
    ),
    "float factor": (
        build(("c", 0.3), op="Mul"),
        "Mul 'y_node': its factor must be numbers of at most 16 bits on one binary point, or go "
        "through a Quant node; snap_scales=True casts to 12 bits, and changes numbers",
    ),
    "bounds of many bits": (
        build(("low", -1e-18), op="Clip"),
        "Clip 'y_node': its bounds must have at most 64 bits right of the binary point, not 83",
    ),
    "bounds per channel": (
        build(("low", [-1.0, -2.0]), op="Clip"),
        "Clip 'y_node': its min must be one number, not 2",
    ),
    "bounds out of order": (
        build(("low", 2.0), ("high", 1.0), op="Clip"),
        "Clip 'y_node': bounds must be in order, not 2 and 1",
    ),
    "unsqueezed activation": (
        build(("axes", 1.0), op="Unsqueeze"),
        "Unsqueeze 'y_node': its axes must be a few integers",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    b, text = REFUSALS[name]
    model = helper.make_model(b.model("y", SHAPE).graph)
    model.opset_import[0].version = 13
    with pytest.raises(UnsupportedModelError) as caught:
        load_qonnx(model)
    assert str(caught.value) == text
