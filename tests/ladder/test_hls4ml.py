"""hls4ml's C simulation of every row, as arrays and as streams: several rows in one project."""

from __future__ import annotations

import pytest

from qfx_plugin.hls4ml_backend import convert
from tests.operations import ARRAYS, STREAMS, batches, differing, joined, simulated

PLACES = (ARRAYS, "io_parallel", 30), (STREAMS, "io_stream", 7)
"""With how many readers of one tensor; hls4ml clones a stream seven times."""

PARTS = 4
"""Tests for each place: rows are exported and joined there, not while tests are collected."""


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("place", "io_type", "most"), PLACES)
def test_simulation(place, io_type, most, part, tmp_path):
    projects = batches(simulated(place), most)[part::PARTS]
    assert projects
    for number, rows in enumerate(projects):
        graph = joined(rows)
        project = convert(graph, tmp_path / str(number), io_type=io_type).compile(quick=True)
        assert differing(rows, graph, project.predict(rows[0].x)) == {}
