"""Inputs drawn at random: every code, ties, both ends, each channel in its own format."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import DataError
from qfx_plugin.ir import Graph, Identity, Input, Quantize, Transpose
from qfx_plugin.ir.inputs import random_inputs

SHAPE = (2, 3, 4)


def graph(points, width=6, between=()):
    """A cast of one input, perhaps behind other operations."""
    ops = [Input("x", (), "x", SHAPE), *between]
    cast = Quantize("q", (ops[-1].output,), "y", width, tuple(points) if points[1:] else points[0])
    return Graph((*ops, cast), ("y",))


@pytest.mark.parametrize("points", [[4], [2, 5]])
def test_ties_and_ends_are_many_and_each_code_is_there(points):
    network = graph(points)
    x = random_inputs(network, 2000, seed=3)["x"]
    assert x.dtype == np.float32 and x.shape == (2000, *SHAPE)
    for channel, fmt in enumerate(network.ops[-1].formats * (3 - len(points))):
        lsbs = x[:, channel].astype(np.float64) / fmt.lsb
        assert set(np.arange(fmt.min_code, fmt.max_code + 1)) <= set(np.unique(lsbs))
        assert np.mean(lsbs % 1 == 0.5) > 0.3
        for end in (fmt.min_code, fmt.max_code):
            near = lsbs - end
            assert {-1, -0.5, -0.25, 0, 0.25, 0.5, 1} <= set(near.ravel())
            assert np.mean(np.abs(near) <= 1) > 0.1
        assert lsbs.min() < fmt.min_code - 10 and lsbs.max() > fmt.max_code + 10


def test_casts_behind_other_operations_decide():
    turned = (Transpose("t", ("x",), "xt", (2, 0, 1)),)
    same = (Identity("i", ("x",), "xi"),)
    ranges = {}
    for name, between in (("turned", turned), ("same", same)):
        x = random_inputs(graph([2, 5] if between is same else [2], 6, between), 50, 0)["x"]
        ranges[name] = [float(np.abs(x[:, channel]).max()) for channel in range(2)]
    assert ranges["turned"][1] > 8 > 2 > ranges["same"][1]


def test_wide_formats_stay_within_float32():
    x = random_inputs(graph([10], 30), 500, 1)["x"]
    fmt = graph([10], 30).ops[-1].formats[0]
    assert np.isfinite(x).all() and x.min() < fmt.min and x.max() > fmt.max


def test_the_seed_decides():
    network = graph([3])
    one, same, other = (random_inputs(network, 5, seed)["x"] for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_an_input_without_a_cast_cannot_be_drawn():
    network = Graph((Input("x", (), "x", SHAPE),), ("x",))
    with pytest.raises(DataError, match="^input 'x' is not quantized: use --inputs$"):
        random_inputs(network, 1, 0)
