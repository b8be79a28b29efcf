"""What stands behind Flatten, Reshape and Transpose: FINN streams channels last, and nothing moves.

Constants differ from element to element here, so that an order that is not the stream's shows.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qfx_plugin.finn_plugin import convert
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from tests.qonnx_models import QonnxBuilder

IMAGE, FEATURES = (3, 4, 5), 12
"""An input image; elements behind the convolution: 2 channels, 2 x 3 pixels."""

POINTS = np.array([5, 4, 3, 2, 5, 3, 4, 2, 6, 1, 3, 4])


class Network(QonnxBuilder):
    """With several inputs and outputs, and constants per element."""

    def __init__(self, shape=IMAGE, **others: tuple[int, ...]) -> None:
        super().__init__(shape)
        self.others = others

    def image(self, channels: int = 2) -> str:
        """A cast image of `channels` channels, 2 x 3 pixels."""
        x = self.conv(self.quant("x", "x_q", 8, 6), "conv1", (channels, 3, 3, 3), 6)
        return self.activation(x, "conv1", 8, 5)

    def flat(self, source: str | None = None) -> str:
        return self.node("Flatten", [source or self.image()], "flat", axis=1)

    def elements(self, name: str, *shape: int, width: int = 6) -> str:
        """A quantized constant of its own for each element."""
        codes = self.rng.integers(-(1 << width - 1), 1 << width - 1, size=shape)
        return self.quant(self.constant(name, codes / 8.0), f"{name}_q", width, 3)

    def reshape(self, source: str, name: str, *shape: int) -> str:
        self.initializers[f"{name}_shape"] = np.array([1, *shape], dtype=np.int64)
        return self.node("Reshape", [source, f"{name}_shape"], name)

    def finish(self, **outputs: tuple[int, ...]) -> onnx.ModelProto:
        first, *more = outputs
        model = self.model(first, outputs[first])
        for name in more:
            model.graph.output.append(_info(name, outputs[name]))
        model.graph.input.extend(_info(name, shape) for name, shape in self.others.items())
        return model


def _info(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, *shape))


def inputs(model: onnx.ModelProto, samples: int) -> dict[str, np.ndarray]:
    """On a grid of 2**-7: ties and values out of range."""
    rng = np.random.default_rng(1)
    shapes = {
        tensor.name: [dim.dim_value for dim in tensor.type.tensor_type.shape.dim][1:]
        for tensor in model.graph.input
    }
    return {n: rng.integers(-300, 300, size=(samples, *s)) / 128.0 for n, s in shapes.items()}


def check(model: onnx.ModelProto, samples: int = 6) -> list[str]:
    """0 codes differ, converted and in hardware; the operations of the hardware."""
    dataflow = convert(model)
    x = inputs(model, samples)
    assert set(dataflow.differences(x).values()) == {0}
    hardware = to_hardware(dataflow.model)
    assert dataflow.differences(x, hardware) == dict.fromkeys(dataflow.graph.outputs, 0)
    values = dataflow.run(x)
    assert all(len(np.unique(value)) > 2 for value in values.values())
    return [node.op_type for node in hardware.graph.node]


def last(b: Network, x: str, features: int = FEATURES) -> onnx.ModelProto:
    b.linear(x, "fc1", (features, 5), 6, output="logits")
    return b.finish(logits=(5,))


def pointwise(kind: str, b: Network, x: str, features: int = FEATURES) -> str:
    """One kind of operation on the elements of `x`, and a cast if it needs one."""
    shape, points = (1, features), np.resize(POINTS, features).reshape(1, -1)
    if kind == "cast":
        return b.quant(x, "y", 6, 3)
    if kind == "wide cast":
        return b.quant(x, "y", 12, 8, rounding="AP_TRN")
    if kind == "cast per element":
        return b.quant(x, "y", 5, points, rounding="AP_RND_CONV")
    if kind == "relu per element":
        x = b.node("Add", [x, b.elements("c", *shape)], "sum")
        return b.activation(x, "y", 4, 3, rounding="AP_RND_INF")
    if kind == "add per element":
        return b.quant(b.node("Add", [x, b.elements("c", *shape)], "sum"), "added", 6, 2)
    if kind == "scale per element":
        return b.quant(b.node("Mul", [x, b.elements("c", *shape)], "scaled"), "y", 6, 1)
    if kind == "raw scale per element":
        return b.node("Mul", [x, b.elements("c", *shape, width=4)], "scaled")
    if kind == "clip":
        low, high = b.constant("low", -0.5), b.constant("high", 1.25)
        return b.quant(b.node("Clip", [x, low, high], "clipped"), "y", 6, 3)
    if kind == "prelu":
        x = b.node("Add", [x, b.elements("c", *shape)], "sum")
        slope = b.quant(b.constant("slope", np.full((1,), 0.25)), "slope_q", 4, 3)
        return b.quant(b.node("PRelu", [x, slope], "leaky"), "y", 6, 2)
    if kind == "prelu per element":
        x = b.node("Add", [x, b.elements("c", *shape)], "sum")
        codes = b.rng.integers(0, 8, size=(features,))
        slope = b.quant(b.constant("slope", codes / 8.0), "slope_q", 4, 3)
        return b.quant(b.node("PRelu", [x, slope], "leaky"), "y", 6, 2)
    if kind == "two casts":
        return b.quant(b.quant(x, "first", 6, points, rounding="AP_TRN"), "y", 4, 1)
    raise KeyError(kind)


KINDS = (
    "cast", "wide cast", "cast per element", "relu per element", "add per element",
    "scale per element", "raw scale per element", "clip", "prelu", "prelu per element", "two casts",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_operation_behind_a_flatten(kind):
    b = Network()
    check(last(b, pointwise(kind, b, b.flat())))


def test_a_relu_and_its_cast_behind_the_flatten_of_sums():
    b = Network()
    x = b.conv(b.quant("x", "x_q", 8, 6), "conv1", (2, 3, 3, 3), 6)
    kinds = check(last(b, b.activation(b.flat(x), "conv1", 8, 5)))
    assert kinds.count("QFXRequant") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_each_operation_as_the_end_of_the_network(kind):
    b = Network()
    name = pointwise(kind, b, b.flat())
    check(b.finish(**{name: (FEATURES,)}))


@pytest.mark.parametrize("kind", KINDS)
def test_each_operation_on_an_input(kind):
    b = Network((3, 4))
    check(last(b, pointwise(kind, b, b.flat(b.quant("x", "x_q", 8, 6)))))


def test_flatten_of_a_convolution_in_one_dimension():
    b = Network((3, 8))
    x = b.conv(b.quant("x", "x_q", 8, 6), "conv1", (2, 3, 3), 6)
    x = b.activation(x, "conv1", 8, 5)
    check(last(b, pointwise("cast per element", b, b.flat(x))))


def test_flatten_of_a_global_pool():
    b = Network()
    x = b.conv(b.quant("x", "x_q", 8, 6), "conv1", (6, 3, 3, 2), 6)  # 2 x 4 pixels
    x = b.quant(b.node("GlobalAveragePool", [x], "mean"), "mean_q", 8, 5)
    check(last(b, pointwise("scale per element", b, b.flat(x), 6), 6))


@pytest.mark.parametrize("shape", [IMAGE, (3, 8)], ids=["image", "line"])
def test_flatten_of_an_input(shape):
    b = Network(shape)
    x = b.flat(b.quant("x", "x_q", 8, np.array([6, 5, 7]).reshape(1, 3, *[1] * (len(shape) - 1))))
    features = int(np.prod(shape))
    check(last(b, pointwise("add per element", b, x, features), features))


def test_flatten_in_front_of_the_input_s_cast():
    b = Network()
    points = np.resize(POINTS, 60).reshape(1, -1)
    check(last(b, b.quant(b.flat("x"), "x_q", 6, points), 60))


def test_the_flatten_itself_as_an_output_beside_its_image():
    b = Network()
    image = b.image()
    check(b.finish(**{b.flat(image): (FEATURES,), image: (2, 2, 3)}))


def test_an_image_read_by_layers_and_flattened_for_others():
    b = Network()
    image = b.image()
    deeper = b.conv(image, "conv2", (2, 2, 2, 2), 6)
    flat = b.flat(image)
    left = b.linear(flat, "fc1", (FEATURES, 3), 6)
    right = b.linear(pointwise("cast per element", b, flat), "fc2", (FEATURES, 3), 6)
    total = b.node("Add", [left, right], "total")
    check(b.finish(**{total: (3,), deeper: (2, 1, 2), flat: (FEATURES,)}))


def test_two_flattened_images_are_added_and_joined():
    b = Network()
    x = b.quant("x", "x_q", 8, 6)
    one = b.node("Flatten", [b.conv(x, "conv1", (2, 3, 3, 3), 4)], "one", axis=1)
    two = b.node("Flatten", [b.conv(x, "conv2", (2, 3, 3, 3), 5)], "two", axis=1)
    joined = b.node("Concat", [one, b.node("Add", [one, two], "sum")], "joined", axis=1)
    check(last(b, b.quant(joined, "y", 8, 4), 2 * FEATURES))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_linear_computes_in_the_order_of_the_image_it_is_added_to(swapped):
    b = Network()
    flat = b.flat()
    gate = b.linear(flat, "fc0", (FEATURES, FEATURES), 4)
    gate = b.activation(gate, "fc0", 6, 1)
    total = b.node("Add", [flat, gate][:: -1 if swapped else 1], "total")
    check(last(b, b.quant(total, "y", 8, np.sort(POINTS).reshape(1, -1))))


def test_an_input_vector_is_sent_in_the_order_of_the_image_it_is_added_to():
    b = Network(v=(FEATURES,))
    total = b.node("Add", [b.flat(), b.quant("v", "v_q", 8, POINTS.reshape(1, -1))], "total")
    check(last(b, b.quant(total, "y", 8, 3)))


def test_an_image_and_a_vector_are_joined():
    b = Network(v=(4,))
    v = b.quant("v", "v_q", 8, 5)
    joined = b.node("Concat", [b.flat(), v], "joined", axis=1)
    check(
        b.finish(**{b.linear(joined, "fc1", (16, 5), 6): (5,), b.linear(v, "fc2", (4, 3), 6): (3,)})
    )


def test_the_second_input_has_several_readers():
    b = Network((4,), v=(4,))
    x, v = b.quant("x", "x_q", 8, 5), b.quant("v", "v_q", 8, 5)
    left = b.node("Add", [b.linear(v, "fc1", (4, 4), 6), b.linear(v, "fc2", (4, 4), 6)], "left")
    check(b.finish(**{b.node("Add", [left, x], "total"): (4,), v: (4,), x: (4,)}))


def test_a_vector_becomes_an_image():
    b = Network((5,))
    x = b.linear(b.quant("x", "x_q", 8, 6), "fc1", (5, 24), 6)
    x = b.reshape(b.activation(x, "fc1", 6, 2), "image", 2, 3, 4)
    check(b.finish(**{b.conv(x, "conv1", (3, 2, 2, 2), 6, pads=[1, 0, 0, 1]): (3, 3, 4)}))


def test_a_vector_of_one_pixel_becomes_an_image():
    b = Network((5,))
    x = b.reshape(b.quant("x", "x_q", 8, 6), "image", 5, 1, 1)
    check(b.finish(**{b.conv(x, "conv1", (4, 5, 3, 3), 6, pads=[1] * 4): (4, 1, 1)}))


def test_an_image_is_flattened_and_restored():
    b = Network()
    x = b.reshape(pointwise("cast per element", b, b.flat()), "again", 2, 2, 3)
    check(b.finish(**{b.conv(x, "conv2", (3, 2, 2, 2), 6, pads=[1] * 4): (3, 3, 4)}))


def test_an_image_becomes_a_line():
    b = Network()
    x = b.reshape(b.image(), "line", 2, 6)
    check(b.finish(**{b.conv(x, "conv2", (3, 2, 3), 6): (3, 4)}))


def test_axes_are_moved_in_front_of_a_flatten():
    b = Network()
    x = b.node("Transpose", [b.image()], "moved", perm=[0, 2, 3, 1])
    check(last(b, pointwise("cast per element", b, b.flat(x))))


def test_a_file_whose_input_has_its_channels_last():
    b = Network((4, 5, 3))
    x = b.quant(b.node("Transpose", ["x"], "moved", perm=[0, 3, 1, 2]), "x_q", 8, 6)
    x = b.activation(b.conv(x, "conv1", (2, 3, 3, 3), 6, pads=[1] * 4), "conv1", 8, 5)
    check(last(b, b.flat(x), 40))


def test_elements_move_in_front_of_a_convolution():
    b = Network()
    x = b.reshape(b.image(), "mixed", 3, 2, 2)
    assert "QFXGather" in check(b.finish(**{b.conv(x, "conv2", (3, 3, 2, 2), 6): (3, 1, 1)}))


def test_the_elements_of_a_sum_come_in_one_order():
    b = Network()
    image = b.image()
    moved = b.node("Transpose", [image], "moved", perm=[0, 2, 3, 1])
    other = b.node("Flatten", [moved], "other", axis=1)
    total = b.node("Add", [b.flat(image), other], "total")
    assert "QFXGather" in check(b.finish(**{total: (FEATURES,)}))
