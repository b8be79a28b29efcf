"""Transpose and Upsample: the same values at other places, every channel with its binary point."""

from __future__ import annotations

import re

import numpy as np
import pytest

from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import Input, Quantize, Transpose, Upsample, interpret
from tests.ir.graphs import graph, run, source


def values(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-40, 40, (7, *shape)) / 8


@pytest.mark.parametrize("points", [3, (1, 3)])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2)])
def test_transpose_moves_values(rng, order, points):
    x = values(rng, 2, 3, 4)
    result, _ = run(*source((2, 3, 4), 9, points), Transpose("t", ("q",), "t", order), x=x)
    keeps = order[0] == 0 and points != 3
    assert np.unique(result.frac_bits).tolist() == ([1, 3] if keeps else [3])


def test_a_float_input_may_be_transposed_before_its_cast(rng):
    ops = [Input("x", (), "x", (3, 4, 2)), Transpose("t", ("x",), "t", (2, 0, 1))]
    ops.append(Quantize("q", ("t",), "q", 8, (2, 3)))
    x = values(rng, 3, 4, 2)
    plain = graph(Input("x", (), "x", (2, 3, 4)), Quantize("q", ("x",), "q", 8, (2, 3)))
    first = x.transpose(0, 3, 1, 2)
    assert interpret(graph(*ops), x)["q"] == interpret(plain, first)["q"]


@pytest.mark.parametrize("points", [2, (1, 3)])
@pytest.mark.parametrize("factors", [(1, 1), (2, 3), (4, 1)])
def test_upsample_repeats(rng, factors, points):
    x = values(rng, 2, 3, 4)
    run(*source((2, 3, 4), 9, points), Upsample("u", ("q",), "u", factors), x=x)


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Transpose("t", ("q",), "t", (0, 1)), "Transpose 't': order [0, 1] does not fit [2, 3, 4]"),
        (Transpose("t", ("q",), "t", (0, 1, 1)), "Transpose 't': order [0, 1, 1] does not fit"),
        (Upsample("u", ("q",), "u", (2,)), "Upsample 'u': factors [2] must be positive, one for"),
        (Upsample("u", ("q",), "u", (0, 1)), "Upsample 'u': factors [0, 1] must be positive"),
        (Upsample("u", ("q",), "u", (1 << 20, 1 << 20)), "Upsample 'u': its output shape"),
    ],
)
def test_refusals(op, text):
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}"):
        graph(*source((2, 3, 4)), op)
