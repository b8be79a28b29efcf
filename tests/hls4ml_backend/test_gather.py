"""Elements that move, as tables: in arrays, and in streams that keep as few beats as they need."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.hls4ml_backend import convert
from qfx_plugin.hls4ml_backend.lowering.lower import lower
from tests.moving import ROWS
from tests.operations import batches, differing, joined


def planned(name: str, io_type: str = "io_stream"):
    """The layers of hls4ml of a network."""
    (row,) = (row for row in ROWS if row.name == name)
    return lower(row.graph, io_type=io_type).layers


def gathers(name: str) -> list[int]:
    """Beats kept by each of its tables."""
    return [layer.attributes["depth"] for layer in planned(name) if layer.kind == "QFXGather"]


def test_a_stream_keeps_what_lies_between_the_first_and_the_last_that_is_needed():
    assert gathers("split") == [1, 1], "channels of each pixel"
    assert gathers("repeat") == [4], "a row"
    assert gathers("sum of two orders") == [12], "a turned image"
    assert gathers("pixel shuffle") == [], "the host takes the result in any order"


def test_streams_are_shared_by_as_many_readers_as_there_are():
    graph = joined(ROWS[:12])
    layers = lower(graph, io_type="io_stream").layers
    readers = [sum(one.inputs.count(layer.name) for one in layers) for layer in layers]
    assert max(readers) == 7
    arrays = lower(graph, io_type="io_parallel").layers
    assert len(layers) == len(arrays) + np.ceil((12 - 7) / 6)


@pytest.mark.slow
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_networks_whose_elements_move(io_type, tmp_path):
    for number, rows in enumerate(batches(ROWS, 60)):
        graph = joined(rows)
        project = convert(graph, tmp_path / str(number), io_type=io_type).compile(quick=True)
        assert differing(rows, graph, project.predict(rows[0].x)) == {}
