"""Streaming networks: windows, folded units and pauses, compared with the interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.errors import OptionError, TargetError
from qfx_plugin.ir import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Graph,
    Linear,
    MaxPool,
    Multiply,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    Window,
    interpret,
)
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.rtl.project import RtlOptions, build_network
from qfx_plugin.simulation import Beats, Expect, Lanes, compile_module
from qfx_plugin.units.sources import SV as UNITS
from tests import qonnx_models
from tests.ir.graphs import graph, source, weight
from tests.qonnx.test_variants import channels_last, complete

SV = sorted((UNITS / "stream").glob("*.sv"))
PIXEL = Lanes.uniform(1, 12, signed=False)

WINDOWS = {
    "strides that leave a rest": ((7, 8), Window((2, 3), (3, 2), ((0, 1), (2, 0)), (1, 1))),
    "dilated": ((7, 7), Window((3, 2), (1, 2), ((1, 2), (0, 1)), (2, 3))),
    "a row": ((1, 9), Window((1, 4), (1, 1), ((0, 0), (3, 3)), (1, 1))),
    "whole image": ((4, 3), Window.plain(4, 3)),
    "one pixel of four": ((4, 4), Window.plain(1, 1, stride=2)),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name, rng):
    """Random images through the window unit give what NumPy's slices give."""
    image, window = WINDOWS[name]
    (rows, columns), (kh, kw) = image, window.kernel
    values = {
        "W": 12, "IH": rows, "IW": columns, "KH": kh, "KW": kw,
        "SH": window.strides[0], "SW": window.strides[1],
        "DH": window.dilations[0], "DW": window.dilations[1],
        "TOP": window.pads[0][0], "BOTTOM": window.pads[0][1],
        "LEFT": window.pads[1][0], "RIGHT": window.pads[1][1], "PAD": 7,
    }  # fmt: skip
    sim = compile_module(SV, "qfx_window", parameters=values)
    x = rng.integers(0, 4096, size=(5, 1, rows, columns))
    want = np.stack([part.reshape(-1) for part in window.slices(x, fill=7)], axis=1)
    lanes = Lanes.uniform(kh * kw, 12, signed=False)
    feed = {"s": Beats(x.reshape(-1, 1), PIXEL)}
    for pauses in ({}, {"idle": 0.4, "backpressure": 0.4, "seed": 3}):
        result = sim.stream(feed, {"m": Expect(len(want), lanes)}, **pauses)
        np.testing.assert_array_equal(result.outputs["m"], want)
        if not pauses:  # a place in each cycle, images without a gap
            steps = (rows + sum(window.pads[0])) * (columns + sum(window.pads[1]))
            assert result.accepted["s"][-1] < 5 * steps


@pytest.mark.parametrize("count", [1, 4])
def test_packing_and_unpacking(count, rng):
    words = rng.integers(0, 4096, size=(40, count))
    wide = Lanes.uniform(count, 12, signed=False)
    parameters = {"W": 12, "N": count}
    pauses = {"idle": 0.3, "backpressure": 0.3, "seed": 1}
    for top, feed, want in (
        ("qfx_unpack", Beats(words, wide), (words.reshape(-1, 1), PIXEL)),
        ("qfx_pack", Beats(words.reshape(-1, 1), PIXEL), (words, wide)),
    ):
        sim = compile_module(SV, top, parameters=parameters)
        for options in ({}, pauses):
            got = sim.stream({"s": feed}, {"m": Expect(len(want[0]), want[1])}, **options)
            np.testing.assert_array_equal(got.outputs["m"], want[0])


def test_a_buffer_in_block_ram_gives_a_beat_in_each_cycle(rng):
    words = rng.integers(0, 4096, size=(40, 1))
    sim = compile_module(SV, "qfx_fifo", parameters={"W": 12, "DEPTH": 7, "BLOCK": 1})
    for options in ({}, {"idle": 0.3, "backpressure": 0.3, "seed": 1}, {"backpressure": 0.9}):
        got = sim.stream({"s": Beats(words, PIXEL)}, {"m": Expect(40, PIXEL)}, **options)
        np.testing.assert_array_equal(got.outputs["m"], words)
        if not options:
            assert set(np.diff(got.produced["m"])) == {1}


@pytest.mark.parametrize(("count", "words"), [(4, 3), (4, 10), (3, 4)])
def test_frames_that_do_not_fill_their_beats(count, words, rng):
    """A frame begins in a beat of its own; what its last beat has left over has no meaning."""
    frames, beats = 7, -(-words // count)
    codes = rng.integers(0, 4096, size=(frames, words))
    wide = np.zeros((frames, beats * count), dtype=np.int64)
    wide[:, :words] = codes
    lanes = Lanes.uniform(count, 12, signed=False)
    parameters = {"W": 12, "N": count, "WORDS": words}
    for options in ({}, {"idle": 0.3, "backpressure": 0.3, "seed": 1}):
        sim = compile_module(SV, "qfx_unpack", parameters=parameters)
        feed = {"s": Beats(wide.reshape(-1, count), lanes)}
        got = sim.stream(feed, {"m": Expect(codes.size, PIXEL)}, **options)
        np.testing.assert_array_equal(got.outputs["m"].reshape(frames, words), codes)
        sim = compile_module(SV, "qfx_pack", parameters=parameters)
        feed = {"s": Beats(codes.reshape(-1, 1), PIXEL)}
        got = sim.stream(feed, {"m": Expect(frames * beats, lanes)}, **options)
        np.testing.assert_array_equal(got.outputs["m"].reshape(frames, -1)[:, :words], codes)


def small_cnn(rng: np.random.Generator, channels: object = 3) -> Graph:
    """Two convolutions, both pools, per-channel points, a head."""
    return graph(
        *source((2, 6, 6), 5, channels),
        Conv(
            "conv1", ("q",), "c1", weight(rng.integers(-7, 8, (4, 2, 3, 3)), 3, width=4),
            weight([3, -5, 9, 0], 2), Window((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
        ),
        Relu("relu1", ("c1",), "r1"),
        Quantize("q1", ("r1",), "q1", 4, (1, 0, 1, -1), False),
        MaxPool("pool1", ("q1",), "p1", Window.plain(2, 2, stride=2)),
        Conv(
            "conv2", ("p1",), "c2", weight(rng.integers(-7, 8, (3, 4, 2, 2)), 3, width=4), None,
            Window.plain(2, 2),
        ),
        PRelu("act", ("c2",), "a2", weight([1, 3, -2], 2)),
        Quantize("q2", ("a2",), "q2", 5, 0),
        Reshape("flatten", ("q2",), "f", (12,)),
        Linear("head", ("f",), "y", weight(rng.integers(-7, 8, (3, 12)), 3, width=4), None),
    )  # fmt: skip


@pytest.mark.parametrize("fold_above", [1 << 20, 0], ids=["unrolled stages", "folded stages"])
def test_a_small_cnn(fold_above, rng):
    network = build_network(small_cnn(rng), RtlOptions(style="streaming", fold_above=fold_above))
    x = rng.uniform(-4, 4, size=(20, 2, 6, 6))
    styles = [row["style"] for row in network.facts["stages"]]
    assert styles.count("folded") == (0 if fold_above else 3)
    assert network.check(x) == 60
    assert network.check(x, idle=0.5, backpressure=0.5, seed=2) == 60


def test_pools_on_padding_constants_and_a_flat_output(rng):
    network = graph(
        *source((2, 5, 4), 5, (3, 2)),
        MaxPool("pool", ("q",), "p", Window((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))),
        Constant("s", (), "s", weight([[[3]], [[-5]]], 2)),
        Multiply("scale", ("p", "s"), "m"),
        Add("twice", ("m", "m"), "t"),
        AveragePool("mean", ("t",), "a", Window.plain(1, 2, stride=1)),
        Reshape("flatten", ("a",), "y", (6,)),
    )
    built = build_network(network, RtlOptions(style="streaming"))
    assert built.check(rng.uniform(-9, 0, size=(20, 2, 5, 4)), idle=0.3, backpressure=0.3) == 120


def test_one_dimension(rng):
    layer = Conv(
        "conv", ("q",), "y", weight(rng.integers(-7, 8, (3, 2, 4)), 3, width=4), None,
        Window((4,), (2,), ((1, 2),), (1,)),
    )  # fmt: skip
    network = graph(*source((2, 9), 5, 3), layer)
    built = build_network(network, RtlOptions(style="streaming"))
    assert built.check(rng.uniform(-4, 4, size=(20, 2, 9))) == 20 * 3 * 5


def residual_network(rng: np.random.Generator) -> Graph:
    """A residual sum, a Concat and a product, each of two branches of different delay."""
    codes = rng.integers(-7, 8, (2, 2, 3, 3))
    window = Window((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    return graph(
        *source((2, 5, 4), 5, (3, 2)),
        Conv("conv", ("q",), "c", weight(codes, 3, width=4), None, window),
        Relu("relu", ("c",), "r"),
        Quantize("rq", ("r",), "rq", 5, 2),
        Add("sum", ("rq", "q"), "s"),
        Quantize("sq", ("s",), "sq", 5, 1),
        Concat("cat", ("sq", "rq"), "k"),
        Reshape("flatten", ("k",), "kf", (80,)),
        Linear("fc", ("kf",), "f", weight(rng.integers(-7, 8, (3, 80)), 3, width=4), None),
        Quantize("fq", ("f",), "fq", 5, -1),
        Quantize("gq", ("fq",), "gq", 3, 0, False),
        Multiply("gate", ("fq", "gq"), "y"),
    )


@pytest.mark.parametrize("fold_above", [1 << 20, 0], ids=["unrolled stages", "folded stages"])
def test_branches(fold_above, rng):
    network = residual_network(rng)
    built = build_network(network, RtlOptions(style="streaming", fold_above=fold_above))
    x = rng.uniform(-4, 4, size=(20, 2, 5, 4))
    assert built.check(x) == 60
    assert built.check(x, idle=0.5, backpressure=0.5, seed=5) == 60
    names = [row["layer"] for row in built.facts["stages"]]
    assert names == ["conv", "sum", "cat", "fc", "gq", "gate"]


def test_branches_of_a_vector_that_is_still_an_image(rng):
    """Behind a stage that the Relu must not join, because the sum reads what it gives."""
    layer = Conv("n", ("q",), "c", weight([[[[3]], [[1]]], [[[-2]], [[1]]]]), None,
                 Window.plain(1, 1))  # fmt: skip
    network = graph(
        *source((2, 2, 3), 5, 3),
        layer,
        Reshape("flatten", ("c",), "f", (12,)),
        Relu("relu", ("f",), "r"),
        Add("sum", ("f", "r"), "y"),
    )
    built = build_network(network, RtlOptions(style="streaming"))
    assert built.check(rng.uniform(-4, 4, size=(20, 2, 2, 3)), backpressure=0.3) == 240


def test_zeros_of_the_padding_lie_outside_of_the_range_of_the_pixels(rng):
    """Above it here: a sum with one of them is larger than any of two pixels."""
    window = Window((2, 1), (1, 1), ((1, 0), (0, 0)), (1, 1))
    layer = Conv("n", ("c",), "s", weight(np.ones((1, 1, 2, 1), int)), weight([20], 2), window)
    network = graph(
        *source((1, 3, 3), 7, 2), Clip("clip", ("q",), "c", -30, -9, 2), layer,
        Relu("relu", ("s",), "y"),
    )  # fmt: skip
    built = build_network(network, RtlOptions(style="streaming"))
    assert built.check(rng.uniform(-9, 0, size=(20, 1, 3, 3))) == 180


def test_foldings_are_refused_by_name(rng):
    with pytest.raises(OptionError, match="fold: 'conv9' is no layer that can be folded; there a"):
        options = RtlOptions(style="streaming", fold={"conv9": (1, 1)})
        build_network(small_cnn(rng), options)
    with pytest.raises(TargetError, match="'conv2': pe must divide its 3 rows"):
        options = RtlOptions(style="streaming", fold={"conv2": (2, 1)})
        build_network(small_cnn(rng), options)


def test_hostile_layer_names_reach_no_file(rng):
    name = 'fc\nendmodule\nmodule evil; "\u540d' + "/long" * 12
    layer = Linear(name, ("q",), "y", weight(rng.integers(-7, 8, (4, 6)), 3, width=4), None)
    for fold_above in (0, 1000):
        options = RtlOptions(style="streaming", fold_above=fold_above)
        network = build_network(graph(*source((6,), 5, 3), layer), options)
        text = "\n".join(network.files.values())
        assert "\u540d" not in text and "\nmodule evil" not in text
        units = [file for file in network.files if file.endswith("_unit.sv")]
        assert len(units) == (not fold_above)  # a name that was cut would be the stage's own
        assert network.facts["stages"][0]["layer"] == name


def test_sources_are_written_for_people():
    for path in SV:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("// ") and Path(path).stem in text


@pytest.mark.parametrize("of_input", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_a_file_that_keeps_channels_last_streams(of_input):
    """The host turns the input, and the Linear behind the Flatten has its columns turned."""
    model = complete(qonnx_models.cnn(4))
    network = build_network(
        load_qonnx(channels_last(model, of_input)), RtlOptions(style="streaming")
    )
    x = qonnx_models.random_inputs(model, 5)
    given = np.moveaxis(x, 1, -1) if of_input else x
    assert network.check(given, idle=0.3, backpressure=0.3) > 10
    (found,), (wanted,) = network.run(given).values(), interpret(load_qonnx(model), x).values()
    assert (found.values == wanted.values).all()
