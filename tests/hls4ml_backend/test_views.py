"""Element-wise operations behind Reshape and Transpose: a stream carries pixels all the same."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.hls4ml_backend import convert, lower
from qfx_plugin.ir import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Graph,
    Input,
    Linear,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    SumPool,
    Transpose,
    Upsample,
    Weight,
    Window,
    interpret,
)
from qfx_plugin.ir.compare import compare_codes
from tests.campaign import part

IO_TYPES = ("io_parallel", "io_stream")


class Chain:
    """Appends operations one after the other; every weight is random."""

    def __init__(self, *shape: int) -> None:
        self.rng = np.random.default_rng(prod(shape))
        self.ops: list[Op] = [Input("x", (), "x", shape)]
        self.cast(8, 4)

    @property
    def last(self) -> str:
        return self.ops[-1].output

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(Graph(tuple(self.ops), (self.last,)).types()[self.last].shape)

    def add(self, kind: type[Op], *inputs: str, **attributes: object) -> Chain:
        name = f"{kind.__name__.lower()}{len(self.ops)}"
        self.ops.append(kind(name, inputs or (self.last,), name, **attributes))
        return self

    def cast(self, width: int, points: object, rounding: str = "AP_RND") -> Chain:
        modes = {"rounding": RoundingMode(rounding), "overflow": OverflowMode.AP_SAT}
        return self.add(Quantize, width=width, frac_bits=points, **modes)

    def weight(self, *shape: int, low: int = -8) -> Weight:
        return Weight(self.rng.integers(low, 8, size=shape), np.array(2), 4)

    def per_channel(self, low: int = 1) -> tuple[int, ...]:
        return tuple(int(point) for point in self.rng.integers(low, low + 4, size=self.shape[0]))

    def constant(self, kind: type[Op]) -> Chain:
        source, shape = self.last, (self.shape[0], *[1] * (len(self.shape) - 1))
        name = f"constant{len(self.ops)}"
        self.ops.append(Constant(name, (), name, self.weight(*shape, low=2)))
        return self.add(kind, source, name)

    def element_wise(self) -> Chain:
        """Every operation that works on each element, constants per channel where it has some."""
        self.constant(Multiply).constant(Add).cast(10, self.per_channel(), "AP_RND_CONV")
        self.add(PRelu, slope=self.weight(self.shape[0], low=1)).cast(10, 2)
        first = self.last
        self.cast(8, 2, "AP_TRN").add(Add, first, self.last).cast(9, 0)
        self.add(Multiply, self.last, first).cast(9, -3).constant(Add)
        self.add(Clip, low=-700, high=1200, frac_bits=0).cast(7, self.per_channel(-5)).constant(Add)
        return self.add(Relu)

    def head(self) -> Chain:
        if len(self.shape) > 1:
            self.add(Reshape, shape=(prod(self.shape),))
        return self.add(Linear, weight=self.weight(5, *self.shape), bias=self.weight(5))

    def conv(self, outputs: int = 3, size: int = 2) -> Chain:
        window = Window.plain(*[size] * (len(self.shape) - 1))
        weight = self.weight(outputs, self.shape[0], *window.kernel)
        return self.add(Conv, weight=weight, bias=None, window=window)

    def graph(self) -> Graph:
        return Graph(tuple(self.ops), (self.last,), "views").verify()


def flattened() -> Chain:
    """The fault that was found: Conv, Flatten, element by element, Linear."""
    return Chain(2, 4, 5).conv().add(Reshape, shape=(36,)).element_wise().head()


def flattened_one_dimension() -> Chain:
    return Chain(2, 6).conv().add(Reshape, shape=(15,)).element_wise().head()


def flattened_input() -> Chain:
    return Chain(2, 3, 4).add(Reshape, shape=(24,)).element_wise().head()


def flattened_pool() -> Chain:
    pool = Chain(3, 4, 4).conv(4, 1).add(SumPool, window=Window.plain(4, 4)).cast(8, 1)
    return pool.add(Reshape, shape=(4,)).element_wise().head()


def flattened_and_back() -> Chain:
    chain = Chain(2, 4, 4).conv().add(Reshape, shape=(27,)).element_wise()
    return chain.add(Reshape, shape=(3, 3, 3)).element_wise().conv().cast(9, 1).head()


def result_is_flat() -> Chain:
    return Chain(2, 4, 4).conv().add(Reshape, shape=(27,)).element_wise()


def result_is_scrambled() -> Chain:
    return Chain(2, 4, 4).conv(2, 1).add(Reshape, shape=(4, 2, 4)).element_wise()


def one_row() -> Chain:
    chain = Chain(2, 4, 4).conv().add(Reshape, shape=(3, 9)).element_wise()
    return chain.conv().cast(9, 1).head()


def image_of_features() -> Chain:
    features = Chain(6).add(Linear, weight=Chain(6).weight(12, 6), bias=None).cast(8, 3)
    return features.add(Reshape, shape=(1, 3, 4)).element_wise().conv().cast(8, 0).head()


def channels_of_features() -> Chain:
    features = Chain(6).add(Linear, weight=Chain(6).weight(12, 6), bias=None).cast(8, 3)
    return features.add(Reshape, shape=(3, 2, 2)).element_wise().head()


def turned() -> Chain:
    return Chain(2, 4, 5).conv().add(Transpose, order=(1, 2, 0)).element_wise().head()


def turned_and_back() -> Chain:
    chain = Chain(2, 4, 5).conv().add(Transpose, order=(2, 0, 1)).element_wise()
    return chain.add(Transpose, order=(1, 2, 0)).conv().cast(9, 1).head()


def turned_input() -> Chain:
    chain = Chain(2, 4, 3)
    cast = chain.ops.pop()
    chain.add(Transpose, "x", order=(0, 2, 1))
    chain.ops.append(Quantize("q", (chain.last,), "q", cast.width, cast.frac_bits))
    return chain.element_wise().head()


def enlarged() -> Chain:
    chain = Chain(2, 3, 2).add(Upsample, factors=(2, 2)).add(Reshape, shape=(48,))
    return chain.element_wise().head()


def several_readers() -> Chain:
    """Flatten read by a Linear, by activations, and by a Concat with another Flatten."""
    chain = Chain(2, 3, 4).conv().add(Reshape, shape=(18,))
    flat = chain.last
    left = chain.add(Linear, weight=chain.weight(4, 18), bias=None).cast(8, 0).last
    right = chain.add(Relu, flat).cast(6, 1).last
    narrow = chain.add(Quantize, flat, width=5, frac_bits=(1, 2, 3) * 6).last
    return chain.add(Concat, left, right, narrow, flat).element_wise().head()


def pooled_behind() -> Chain:
    chain = Chain(2, 4, 4).conv(2, 1).add(Reshape, shape=(2, 2, 8)).element_wise()
    return chain.add(AveragePool, window=Window.plain(2, 2, stride=2)).cast(9, 2).head()


def features_and_image() -> Chain:
    """A sum whose operands come in words of 12 and of 1."""
    chain = Chain(1, 4, 5)
    image = chain.conv(1).cast(8, 2).add(Reshape, shape=(12,)).last
    features = chain.add(Linear, weight=chain.weight(12, 12), bias=None).cast(8, 0).last
    chain.add(Add, features, image).cast(9, 1)
    return chain.add(Multiply, image, chain.last).cast(12, -2)


FORMS = (
    flattened, flattened_one_dimension, flattened_input, flattened_pool, flattened_and_back,
    result_is_flat, result_is_scrambled, one_row, image_of_features, channels_of_features, turned,
    turned_and_back, turned_input, enlarged, several_readers, pooled_behind,
    features_and_image,
)  # fmt: skip
QUICK = ("flattened-io_stream", "features_and_image-io_stream")


CASES = [
    pytest.param(
        form,
        io_type,
        id=f"{form.__name__}-{io_type}",
        marks=[] if f"{form.__name__}-{io_type}" in QUICK else pytest.mark.slow,
    )
    for io_type in reversed(IO_TYPES)
    for form in FORMS
]


@pytest.mark.parametrize(("form", "io_type"), part(CASES, len(FORMS) + 3))
def test_every_code(form: object, io_type: str, tmp_path: Path) -> None:
    graph = form().graph()
    x = np.random.default_rng(0).normal(0, 3, size=(60, *graph.inputs[0].shape))
    (expected,) = interpret(graph, x).values()
    assert len(np.unique(expected.codes)) > 20
    y = convert(graph, tmp_path, io_type=io_type).compile(quick=True).predict(x)
    assert y.shape == expected.codes.shape
    assert not compare_codes(expected, y)[0].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("io_type", IO_TYPES)
def test_element_wise_layers_have_the_shape_of_what_they_read(form: object, io_type: str) -> None:
    """In a stream that is how many elements a FIFO carries at once."""
    plan = lower(form().graph(), io_type=io_type)
    by_name = {layer.name: layer for layer in plan.layers}
    seen = 0
    for layer in plan.layers:
        if layer.kind in ("Activation", "QFXElementwise", "QFXBinary"):
            assert {by_name[name].shape for name in layer.inputs} == {layer.shape}
            seen += 1
    assert seen >= 2


def test_a_constant_per_pixel_is_as_long_as_it_must_be() -> None:
    """One number per feature, repeated for each pixel of a channel, is one per channel."""
    chain = Chain(3, 2, 2).add(Reshape, shape=(12,))
    chain.ops.append(Constant("c", (), "c", Weight(np.repeat([1, 2, 3], 4), np.array([0]), 4)))
    chain.add(Multiply, chain.ops[-2].output, "c")
    layer = lower(chain.head().graph(), io_type="io_stream").layers[1]
    assert layer.attributes["first_data"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("turned_first", [True, False])
def test_the_host_lays_the_input_out_as_its_reader_needs_it(turned_first: bool) -> None:
    """A file that is channels last: the convolution reads the input as it is."""
    ops: list[Op] = [Input("x", (), "x", (4, 5, 3))]
    if turned_first:
        ops.append(Transpose("turn", ("x",), "t", order=(2, 0, 1)))
        ops.append(Quantize("q", ("t",), "q", 6, 3))
    else:
        ops.append(Quantize("c", ("x",), "c", 6, 3))
        ops.append(Transpose("turn", ("c",), "q", order=(2, 0, 1)))
    weight = Weight(np.ones((2, 3, 2, 2), dtype=np.int64), 0, 2)
    ops.append(Conv("conv", ("q",), "y", weight, None, Window.plain(2, 2)))
    plan = lower(Graph(tuple(ops), ("y",)).verify(), io_type="io_stream")
    assert [layer.kind for layer in plan.layers] == ["InputLayer", "Conv2D"]
    assert plan.inputs[0].layer.shape == plan.inputs[0].shape == (4, 5, 3)
    x = np.arange(120.0).reshape(2, 4, 5, 3)
    assert np.array_equal(plan.inputs[0].flat(x), x.reshape(2, 60))
