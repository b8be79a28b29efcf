"""Networks of several inputs and outputs through hls4ml: arrays, streams, and its own API."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import DataError, TargetError
from qfx_plugin.hls4ml_backend import convert, lower
from qfx_plugin.ir import interpret
from tests.several import (
    BRANCHES,
    DETECTOR,
    READ_ON,
    SHAPES_THAT_DIFFER,
    SQUEEZE,
    TWO_INPUTS,
    UNET,
    inputs,
    network,
    source,
)

LONG = [pytest.param(one, marks=pytest.mark.slow, id=one.name)
        for one in (DETECTOR, SQUEEZE, UNET, TWO_INPUTS, BRANCHES)]  # fmt: skip
SHORT = [pytest.param(one, id=one.name) for one in (SHAPES_THAT_DIFFER, READ_ON)]


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("graph", [*SHORT, *LONG])
def test_simulation(graph, io_type, tmp_path):
    project = convert(graph, tmp_path, io_type=io_type).compile(quick=True)
    assert project.check(inputs(graph, 50)) >= 50


def test_inputs_and_results_of_predict(tmp_path):
    """By name or in order; hls4ml's own function takes and gives lists."""
    x = inputs(SHAPES_THAT_DIFFER, 5)
    project = convert(SHAPES_THAT_DIFFER, tmp_path).compile(quick=True)
    wanted = {name: one.values for name, one in interpret(SHAPES_THAT_DIFFER, x).items()}
    for given in (x, list(x.values())):
        found = project.predict(given)
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    project.graph.compile()
    flat = project.graph.predict(list(x.values()))
    assert [part.shape for part in flat] == [(5, 4), (5, 32), (5, 2)]
    assert np.array_equal(flat[2], wanted["z"])
    assert [one["tensor"] for one in project.report["inputs"]] == ["image", "vector"]
    with pytest.raises(DataError, match="inputs must be image, vector: give them by name"):
        project.predict(x["image"])
    with pytest.raises(DataError, match="input 'vector' must have shape"):
        project.predict({**x, "vector": x["image"]})


def test_an_input_that_nothing_reads_is_refused():
    ops = [op for name in "ab" for op in source(name, 3)]
    with pytest.raises(TargetError, match="input 'b': no output depends on it"):
        lower(network("idle", *ops, *DETECTOR.ops[:0], outputs=("qa",)))
