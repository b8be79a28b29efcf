"""hls4ml's C simulation of every row, as arrays and as streams: several rows in one project."""

from __future__ import annotations

import pytest

from qfx_plugin.hls4ml_backend import convert
from tests.operations import ARRAYS, STREAMS, batches, differing, joined, taken

PLACES = (ARRAYS, "io_parallel", 30), (STREAMS, "io_stream", 7)
"""With how many readers of one tensor; hls4ml clones a stream seven times."""

CASES = [
    pytest.param(io_type, rows, id=f"{place}, {rows[0]} to {rows[-1]}")
    for place, io_type, most in PLACES
    for rows in batches(taken(place), most)
]


@pytest.mark.parametrize(("io_type", "rows"), CASES)
def test_simulation(io_type, rows, tmp_path):
    graph = joined(rows)
    project = convert(graph, tmp_path, io_type=io_type).compile(quick=True)
    assert differing(rows, graph, project.predict(rows[0].x)) == {}
