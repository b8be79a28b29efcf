"""Elements that move between the beats of a stream, and the unit that keeps as few as it can."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.ir import ArgMax, Reshape
from qfx_plugin.rtl.network import compile_together
from qfx_plugin.rtl.project import RtlOptions, build_network
from qfx_plugin.simulation import Beats, Expect, Lanes, compile_module
from qfx_plugin.units.reorder import MODULE, Reorder
from qfx_plugin.units.sources import sources_of
from qfx_plugin.units.words import cut_words
from tests.ir.graphs import graph, source
from tests.moving import ROWS

IMAGE = np.arange(12).reshape(3, 4)
ORDERS = {
    "turned": (IMAGE.T, 16, 12),
    "cropped": (IMAGE[1:, 1:3], 2, 12),
    "repeated": (IMAGE.repeat(2, 0).repeat(2, 1), 4, 48),
    "padded": (np.pad(IMAGE, ((2, 1), (1, 2)), constant_values=-1), 2, 42),
    "backwards": (IMAGE[::-1, ::-1], 32, 12),
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_reorder_keeps_few_beats_and_its_pace(name):
    order, depth, cycles = ORDERS[name]
    found = Reorder(order.reshape(-1), IMAGE.size)
    assert (found.depth, found.cycles) == (depth, cycles)


def test_an_order_that_repeats_is_a_small_one_over_and_over():
    rows = np.arange(24).reshape(4, 2, 3)
    cases = {
        "kept": (rows, (1, 1), True),
        "each three times": (rows.repeat(3), (3, 1), False),
        "pairs of rows turned": (rows.transpose(0, 2, 1), (6, 6), False),
        "turned": (rows.reshape(2, 12).T, (24, 24), False),
    }
    for name, (order, sizes, is_plain) in cases.items():
        frame = Reorder(order.reshape(-1), rows.size).frame
        found = (len(frame.source), frame.words), frame.is_plain
        assert (name, *found) == (name, sizes, is_plain)


@pytest.mark.parametrize("name", ["turned", "padded"])
def test_the_unit(name, tmp_path, rng):
    """Frames without a gap, with pauses on both sides; the pace is the one that is stated."""
    order, _, cycles = ORDERS[name]
    places = order.reshape(-1)
    reorder = Reorder(places, IMAGE.size)
    (tmp_path / "reorder.mem").write_text(reorder.table)
    parameters = reorder.parameters(12, "reorder.mem") | {"PAD": 7}
    del parameters["FILE"]  # the module's own name of it
    memories = [tmp_path / "reorder.mem"]
    sim = compile_module(sources_of(MODULE), MODULE, parameters=parameters, memories=memories)
    x = rng.integers(0, 4096, (10, IMAGE.size))
    want = np.where(places < 0, 7, x[:, places]).reshape(-1, 1)
    lanes = Lanes.uniform(1, 12, signed=False)
    for pauses in ({}, {"idle": 0.4, "backpressure": 0.4, "seed": 3}):
        feed = {"s": Beats(x.reshape(-1, 1), lanes)}
        got = sim.stream(feed, {"m": Expect(len(want), lanes)}, **pauses)
        np.testing.assert_array_equal(got.outputs["m"], want)
        if not pauses:
            ends = got.produced["m"][len(places) - 1 :: len(places)]
            assert set(np.diff(ends)) == {cycles}


def test_words_are_as_wide_as_channels_move_together():
    image = np.arange(12 * 20).reshape(12, 4, 5)
    shuffled = image.reshape(3, 2, 2, 4, 5).transpose(0, 3, 1, 4, 2).reshape(3, 80)
    cases = {
        "turned images": (image.transpose(0, 2, 1), (1, 12), 20),
        "a pixel shuffle": (shuffled, (4, 3), 80),
        "channels as rows": (image.transpose(1, 0, 2), (12, 1), 240),
        "zeros between": (np.pad(image, ((1, 0), (1, 1), (0, 0)), constant_values=-1), (1, 12), 30),
    }
    for name, (shown, taken, cycles) in cases.items():
        cut = cut_words(shown.reshape(shown.shape[0], -1), 12, 20)
        assert (name, cut.taken.shape, cut.cycles) == (name, taken, cycles)


@pytest.mark.slow
def test_streams_whose_elements_move():
    networks = [build_network(row.graph, RtlOptions(style="streaming")) for row in ROWS]
    compile_together(networks)
    for row, network in zip(ROWS, networks, strict=True):
        for pauses in ({}, {"idle": 0.4, "backpressure": 0.4, "seed": 1}):
            assert network.check(row.x[:60], **pauses) > 0, row.name


@pytest.mark.parametrize("style", ["unrolled", "streaming"])
def test_a_result_without_axes_is_one_number(style):
    ops = ArgMax("which", ("q",), "which"), Reshape("flat", ("which",), "flat", ())
    network = build_network(graph(*source((5,)), *ops), RtlOptions(style=style))
    assert network.graph.types()["flat"].shape == ()
