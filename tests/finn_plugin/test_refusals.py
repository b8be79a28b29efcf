"""What FINN has no exact form for is refused by the node's name, before FINN is needed."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.finn_plugin import lower
from qfx_plugin.qonnx_import import load_qonnx
from tests.qonnx_models import QonnxBuilder, mlp


def refusal(builder: QonnxBuilder, output: str, shape: tuple[int, ...]) -> str:
    with pytest.raises(TargetError) as caught:
        lower(load_qonnx(builder.model(output, shape)))
    text = str(caught.value)
    assert "\n" not in text
    return text


def image(channels: int = 2, size: int = 6) -> tuple[QonnxBuilder, str]:
    b = QonnxBuilder((channels, size, size))
    return b, b.quant("x", "x_q", 8, 6)


def test_a_pool_behind_a_relu_pads_by_itself():
    b, x = image()
    x = b.node("Relu", [x], "positive")
    b.node("MaxPool", [x], "pooled", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    plan = lower(load_qonnx(b.model("pooled", (2, 6, 6))))
    assert [node.kind for node in plan.nodes] == ["QFXRequant", "MaxPoolNHWC"]


def test_two_casts_of_the_input():
    b = QonnxBuilder((4,))
    left, right = b.quant("x", "a", 8, 6), b.quant("x", "b", 8, 5)
    b.node("Add", [left, right], "sum")
    assert "input 'x' is read by another Quant already" in refusal(b, "sum", (4,))


def test_sums_beyond_float32():
    text = ""
    with pytest.raises(TargetError) as caught:
        lower(load_qonnx(mlp(widths=(64, 4), bit_width=14)))
    text = str(caught.value)
    assert text.startswith("node 'logits_node': its integers need")
    assert "float32" in text


def falling(*, cast_between: bool, width: int = 8) -> QonnxBuilder:
    """A negative factor, then PReLU; with a cast between, or without."""
    b = QonnxBuilder((4,))
    x = b.quant("x", "x_q", width, 6)
    x = b.node("Mul", [x, b.quant(b.constant("f", -0.75), "f_q", 4, 2)], "scaled")
    x = b.quant(x, "between", 8, 6) if cast_between else x
    slope = b.quant(b.constant("slope", np.full((1,), 0.25)), "slope_q", 4, 3)
    b.quant(b.node("PRelu", [x, slope], "leaky"), "y", 6, 4)
    return b


def test_a_factor_below_zero_in_front_of_thresholds():
    text = refusal(falling(cast_between=False, width=14), "y", (4,))
    assert text.startswith(
        "Quantize 'y_node': a negative factor in front makes it fall in channel 0"
    )


def test_a_factor_below_zero_in_front_of_a_table():
    plan = lower(load_qonnx(falling(cast_between=False).model("y", (4,))))
    assert [node.kind for node in plan.nodes] == ["QFXLookup"]


def test_what_that_refusal_advises_works():
    plan = lower(load_qonnx(falling(cast_between=True).model("y", (4,))))
    assert [node.kind for node in plan.nodes] == ["QFXRequant", "MultiThreshold"]


def test_several_steps_along_a_side_of_one_pixel():
    b = QonnxBuilder((2, 1, 6))
    b.conv(b.quant("x", "x_q", 8, 6), "conv", (2, 2, 3, 3), 4, pads=[2, 1, 2, 1], output="y")
    text = refusal(b, "y", (2, 3, 6))
    assert text.startswith("Conv 'y_node': FINN slides no window along a side of one pixel, here 3")


def test_a_network_without_layers():
    b = QonnxBuilder((4,))
    b.quant("x", "x_q", 8, 6)
    assert "has no layer for FINN to compute" in refusal(b, "x_q", (4,))
