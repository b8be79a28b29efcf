"""Every operation of the intermediate model in one network: which layers become of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.errors import DataError
from qfx_plugin.hls4ml_backend import convert, lower
from qfx_plugin.ir import (
    Add,
    Clip,
    Concat,
    Constant,
    Conv,
    Graph,
    Input,
    Linear,
    MaxPool,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    SumPool,
    Upsample,
    Weight,
    Window,
    interpret,
)


def weight(shape: tuple[int, ...], points: int | tuple[int, ...], width: int = 5) -> Weight:
    """Random codes, the same for the same shape and points."""
    rng = np.random.default_rng([*shape, *np.atleast_1d(points)])
    high = 1 << (width - 1)
    return Weight(rng.integers(-high, high, size=shape), np.atleast_1d(points), width)


def cast(name: str, source: str, width: int, points: int | tuple[int, ...], **modes: str) -> Op:
    return Quantize(
        name, (source,), name, width, points,
        rounding=RoundingMode(modes.get("rounding", "AP_RND_CONV")),
        overflow=OverflowMode(modes.get("overflow", "AP_SAT")),
    )  # fmt: skip


def everything() -> Graph:
    """(2, 6, 6) to 3: batch norm, PReLU, Clip, gate, residual, pools, casts per channel."""
    overlapping = Window((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
    depthwise = Window((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    ops = (
        Input("x", (), "x", (2, 6, 6)),
        cast("xq", "x", 6, (3, 5), rounding="AP_RND_MIN_INF"),
        Conv("conv", ("xq",), "conv", weight((4, 2, 1, 1), 3), weight((4,), 4), Window.plain(1, 1)),
        cast("q1", "conv", 8, 3, rounding="AP_TRN_ZERO", overflow="AP_WRAP"),
        Constant("factor", (), "factor", weight((4, 1, 1), (3, 4, 5, 2))),
        Constant("offset", (), "offset", weight((4, 1, 1), (2, 3, 1, 4))),
        Multiply("scale", ("q1", "factor"), "scale"),
        Add("shift", ("scale", "offset"), "shift"),
        PRelu("prelu", ("shift",), "prelu", weight((4,), (4, 3, 5, 4))),
        cast("q2", "prelu", 7, (2, 3, 1, 2), rounding="AP_RND_ZERO", overflow="AP_SAT_SYM"),
        Conv("dw", ("q2",), "dw", weight((4, 1, 3, 3), 3), None, depthwise, groups=4),
        Clip("clip", ("dw",), "clip", -60, 100, 2),
        cast("q3", "clip", 8, 1, rounding="AP_RND_INF"),
        Add("residual", ("q3", "q2"), "residual"),
        cast("q4", "residual", 7, 2, overflow="AP_WRAP_SM"),
        MaxPool("max", ("q4",), "max", overlapping),
        SumPool("sum", ("max",), "sum", Window.plain(3, 3)),
        cast("q5", "sum", 7, -2, rounding="AP_RND", overflow="AP_SAT_ZERO"),
        Multiply("gate", ("max", "q5"), "gate"),
        cast("q6", "gate", 8, -3),
        Relu("relu", ("q6",), "relu"),
        Upsample("up", ("relu",), "up", (2, 1)),
        SumPool("mean", ("up",), "mean", Window.plain(2, 2, stride=1)),
        Concat("concat", ("mean", "mean"), "concat"),
        Reshape("flat", ("concat",), "flat", (80,)),
        Linear("fc", ("flat",), "fc", weight((3, 80), (2, 3, 4)), weight((3,), 1)),
        cast("logits", "fc", 14, 0),
    )
    return Graph(ops, ("logits",), "everything").verify()


def test_layers_of_every_operation() -> None:
    """Batch norm is one layer; a cast costs one only where no type of hls4ml does it."""
    kinds = [(layer.kind, layer.attributes.get("kind", "")) for layer in lower(everything()).layers]
    assert kinds == [
        ("InputLayer", ""),
        ("Conv2D", ""),
        ("QFXElementwise", "affine"),
        ("QFXElementwise", "prelu"),
        ("QFXElementwise", "cast"),
        ("DepthwiseConv2D", ""),
        ("QFXElementwise", "clip"),
        ("QFXBinary", "add"),
        ("QFXElementwise", "cast"),
        ("QFXPad", ""),
        ("MaxPooling2D", ""),
        ("QFXGlobalSum", ""),
        ("QFXBinary", "multiply"),
        ("Activation", ""),
        ("QFXGather", ""),
        ("DepthwiseConv2D", ""),
        ("Concatenate", ""),
        ("Reshape", ""),
        ("Dense", ""),
    ]


def test_padding_of_a_maximum_does_not_wrap_to_a_winner() -> None:
    """The smallest value of the padded type must lie in the pool's accumulator."""
    layers = {layer.name: layer for layer in lower(everything()).layers}
    pool = layers["max"]
    (padded,) = pool.inputs
    assert padded == "max_pad"
    assert pool.precision["accum"].format.contains(layers[padded].result.format)


def test_input_that_the_host_casts() -> None:
    plan = lower(everything())
    assert plan.inputs[0].host_cast is not None
    x = np.random.default_rng(2).normal(0, 2, size=(50, 2, 6, 6))
    given = plan.inputs[0].cast_on_host(x)
    np.testing.assert_array_equal(given, interpret(everything(), x, keep=["xq"])["xq"].values)
    fmt = plan.inputs[0].layer.result.format
    np.testing.assert_array_equal(fmt.quantize(given, "AP_TRN", "AP_WRAP"), given)


def test_input_of_the_wrong_shape(tmp_path: Path) -> None:
    project = convert(everything(), tmp_path)
    with pytest.raises(DataError, match=r"^input must have shape \(samples, 2, 6, 6\), not \(1, 6"):
        project.predict(np.zeros((1, 6, 6, 2)))
