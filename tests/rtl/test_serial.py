"""Softmax and norms row after row: the same codes on fewer lanes."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.ir import (
    Add,
    Constant,
    Conv,
    Graph,
    Lookup,
    MatMul,
    MaxPool,
    Multiply,
    Quantize,
    SumPool,
    Transpose,
    Window,
    interpret,
)
from qfx_plugin.rtl.graph.kernel import GraphOptions
from qfx_plugin.rtl.stream.behind import Behind
from qfx_plugin.rtl.stream.reduce import RowReduction
from qfx_plugin.rtl.stream.serial import serial, stages_of
from tests.ir.graphs import graph, source, weight


def softmax_like(rng: np.random.Generator) -> Graph:
    """Four products of 6 x 8 by 8 x 6; a maximum, a table and a sum over each of their rows."""
    row, each = Window.plain(1, 6), weight(rng.integers(1, 7, (4, 6, 1)), 2, width=4)
    return graph(
        *source((4, 6, 8), 4, 3),
        Conv("layer", ("q",), "l", weight(rng.integers(-7, 8, (4, 4, 1, 1)), 3, width=4), None,
             Window.plain(1, 1)),
        Constant("bias", (), "b", weight(rng.integers(-7, 8, (4, 1, 1)), 4, width=4)),
        Add("add", ("l", "b"), "lb"),
        Quantize("cast", ("lb",), "k", 4, 1),
        Transpose("turn", ("k",), "t", (0, 2, 1)),
        MatMul("scores", ("q", "t"), "s"),
        MaxPool("most", ("s",), "m", row),
        Constant("one", (), "c", weight([[[-1]]], 0, width=2)),
        Multiply("minus", ("s", "c"), "n"),
        Add("distance", ("m", "n"), "d"),
        Quantize("few", ("d",), "f", 4, 3, False),
        Lookup("table", ("f",), "e", weight(rng.integers(0, 9, 16), 3, width=5), 0, 3),
        SumPool("sum", ("e",), "u", row),
        Constant("each", (), "r", each),
        Multiply("scaled", ("u", "r"), "v"),
        Multiply("result", ("e", "v"), "y"),
    )  # fmt: skip


@pytest.mark.parametrize(("pace", "lanes"), [(36, 4), (100, 2), (144, 1)])
def test_as_many_lanes_as_the_pace_needs(pace, lanes, rng):
    network = softmax_like(rng)
    changed = serial(network, pace).verify()
    (table,) = (op for op in changed.ops if isinstance(op, Lookup))
    assert changed.fixed_type(table.output).shape[0] == lanes
    x = rng.normal(size=(20, 4, 6, 8))
    assert interpret(changed, x)["y"] == interpret(network, x)["y"]


def test_a_stage_of_one_lane_keeps_one_number_for_each_row(rng):
    _, stages = stages_of(softmax_like(rng))
    found = {stage.layer: stage for stage in stages}
    for name in ("most", "sum"):
        reduction = RowReduction.of(found[name])
        assert (reduction.taps, reduction.fold, found[name].pixel.shape[0]) == (6, 1, 1)


def test_what_follows_a_folded_layer_works_on_the_lanes_that_it_gives(rng):
    _, stages = stages_of(softmax_like(rng))
    (layer,) = (stage for stage in stages if stage.layer == "layer")
    assert [type(op) for op in layer.ops] == [Conv, Quantize]  # the bias is the layer's
    behind = Behind.of(layer, 2, "few", GraphOptions())
    assert behind.is_narrow
    assert [port.kind.shape for port in behind.kernel.inputs] == [(2, 1, 1)]
