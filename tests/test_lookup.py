"""A `Lookup` on every target, code by code: arrays, streams, thresholds, ROMs in Verilog."""

import numpy as np
import pytest

from qfx_plugin import finn_plugin, hls4ml_backend
from qfx_plugin.finn_plugin import lower as lower_finn
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.ir import (
    Add,
    Constant,
    Conv,
    Graph,
    Input,
    Linear,
    Lookup,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Weight,
    Window,
    interpret,
)
from qfx_plugin.rtl.network import compile_together
from qfx_plugin.rtl.project import RtlOptions, build_network
from tests.graph_file import to_qonnx

RNG = np.random.default_rng(7)


def weight(*shape: int) -> Weight:
    return Weight(RNG.integers(-7, 8, shape), np.array([2]), 4)


def table(codes, frac_bits: int = 3) -> Weight:
    return Weight(np.asarray(codes), np.array([frac_bits]), 32)


def graph(*ops: Op, shape=(8,), width: int = 6) -> Graph:
    first = (Input("x", (), "x", shape), Quantize("q", ("x",), "q", width, 2))
    return Graph((*first, *ops), (ops[-1].output,), "lookup").verify()


def dense(*ops: Op, **options) -> Graph:
    bias = Weight(RNG.integers(-9, 9, 4), np.array([2]), 6)
    layer = Linear("fc", ("q",), "fc", weight(4, 8), bias)
    return graph(layer, Quantize("a", ("fc",), "a", 5, 1), *ops, **options)


def image(codes) -> Graph:
    act = Quantize("a", ("conv",), "a", 5, 1)
    conv = Conv("conv", ("q",), "conv", weight(3, 2, 1, 1), None, Window.plain(1, 1))
    after = Conv("last", ("f",), "last", weight(2, 3, 1, 1), None, Window.plain(1, 1))
    look = Lookup("f", ("a",), "f", table(codes), -16, 1)
    return graph(conv, act, look, after, Quantize("y", ("last",), "y", 8, 3), shape=(2, 4, 4))


def slope_behind_sums(slope: int, width: int) -> Graph:
    wide = Weight(RNG.integers(-99, 99, (4, 8)), np.array([2]), 8)
    slopes = Weight(np.array([slope, 1, -slope, 0]), np.array([1, 2, 3, 1]), 4)
    layer = Linear("fc", ("q",), "fc", wide, None)
    prelu = PRelu("p", ("fc",), "p", slopes)
    return graph(layer, prelu, Quantize("y", ("p",), "y", width, 1))


ANY = RNG.integers(-99, 99, 32)
LOOK = Lookup("f", ("a",), "f", table(ANY), -16, 1)
WIDE = RNG.integers(-(2**29), 2**29, 32)
NEGATED = (
    Constant("c", (), "c", Weight(np.full(4, -1), np.array([0]), 2)),
    Multiply("m", ("a", "c"), "m"),
)
GRAPHS = {
    "output": dense(LOOK),
    "cast behind": dense(LOOK, Quantize("y", ("f",), "y", 5, 1)),
    "image": image(ANY),
    "coarser operand": dense(Lookup("f", ("a",), "f", table(RNG.integers(0, 9, 64)), -32, 2)),
    "constant": dense(Lookup("f", ("a",), "f", table(np.full(32, 5)), -16, 1)),
    "wide entries": dense(
        Lookup("f", ("a",), "f", table(RNG.integers(-(2**29), 2**29, 32)), -16, 1)
    ),
    "negated": dense(*NEGATED, Lookup("f", ("m",), "f", table(RNG.integers(-9, 9, 33)), -16, 1)),
    "of the input": graph(Lookup("f", ("q",), "f", table(RNG.integers(-9, 9, 64)), -32, 2)),
    "two in a row": dense(LOOK, Lookup("g", ("f",), "g", table(RNG.integers(0, 9, 256)), -128, 3)),
    "one bit": dense(
        Quantize("b", ("a",), "b", 1, 0, False), Lookup("f", ("b",), "f", table([7, -5]), 0, 0)
    ),
}


def samples(network: Graph, count: int = 200) -> np.ndarray:
    x = np.random.default_rng(3).normal(0, 3, (count, *network.inputs[0].shape))
    return np.rint(x * 16) / 16


@pytest.mark.parametrize("style", ["unrolled", "streaming"])
def test_verilog(style):
    """Streams with pauses on both sides."""
    networks = {name: build_network(one, RtlOptions(style=style)) for name, one in GRAPHS.items()}
    compile_together(list(networks.values()))
    pauses = {} if style == "unrolled" else {"idle": 0.3, "backpressure": 0.3}
    for name, network in networks.items():
        x = samples(GRAPHS[name])
        (output,) = GRAPHS[name].outputs
        size = interpret(GRAPHS[name], x)[output].codes.size
        assert network.check(x, **pauses) == size


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("name", ["image", "two in a row"])
def test_hls4ml(name, io_type, tmp_path):
    network = GRAPHS[name]
    model = hls4ml_backend.convert(to_qonnx(network), output_dir=tmp_path, io_type=io_type)
    x = samples(network)
    wanted = interpret(network, x)[network.outputs[0]].values
    assert np.array_equal(model.compile(quick=True).predict(x), wanted)


def test_finn_takes_what_rises_into_thresholds():
    network = image(np.sort(ANY))
    plan = lower_finn(network)
    assert [node.kind for node in plan.nodes].count("MultiThreshold") == 1
    x = samples(network)
    assert finn_plugin.convert(to_qonnx(network)).check(x) == x.shape[0] * 2 * 16


FALLING = {
    "image": image(ANY),
    "output": dense(LOOK),
    "cast behind": dense(LOOK, Quantize("y", ("f",), "y", 5, 1)),
    "wide cast behind": dense(LOOK, Quantize("y", ("f",), "y", 10, 5)),
    "negated": GRAPHS["negated"],
    "two in a row": GRAPHS["two in a row"],
    "rises into a wide cast": dense(
        Lookup("f", ("a",), "f", table(np.sort(ANY)), -16, 1), Quantize("y", ("f",), "y", 10, 5)
    ),
    "two readers": dense(
        LOOK, Quantize("y", ("f",), "y", 5, 1), Quantize("z", ("f",), "z", 3, 0),
        Add("sum", ("y", "z"), "sum"),
    ),
    "falls, then meets its operand": dense(LOOK, Add("sum", ("f", "a"), "sum")),
    "points per channel": dense(
        Quantize("p", ("a",), "p", 4, (1, 0, -1, 1)),
        Lookup("f", ("p",), "f", table(RNG.integers(-9, 9, 64)), -32, 1),
    ),
    "slope that falls, few codes": dense(
        PRelu("p", ("a",), "p", Weight(np.array([-3, 1, 2, 0]), 2, 4)),
        Quantize("y", ("p",), "y", 9, 3),
    ),
    "slope that falls, many codes": slope_behind_sums(-3, 6),
    "slope into a wide cast": slope_behind_sums(3, 11),
}  # fmt: skip


@pytest.mark.parametrize("name", FALLING)
def test_finn_takes_what_falls(name):
    """As a table in a unit of ours; a PReLU of wide sums in two parts."""
    network = FALLING[name]
    x = samples(network, 24)
    dataflow = finn_plugin.convert(to_qonnx(network))
    assert set(dataflow.differences(x).values()) == {0}
    hardware = to_hardware(dataflow.model)
    assert set(dataflow.differences(x, hardware).values()) == {0}
