"""Which samples a float32 executor is excused on: a first difference of one code, near a tie."""

from __future__ import annotations

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import RoundingMode
from qfx_plugin.executors.slips import float32_sums, float32_sums_and_ties
from qfx_plugin.ir import Add, Graph, Input, Multiply, Quantize, interpret
from qfx_plugin.verify import compare_codes

NEAR = np.nextafter(np.float32(0.5), np.float32(0))
CAST = {"width": 8, "frac_bits": 0, "rounding": RoundingMode.AP_RND_INF}
NETWORK = Graph(
    (
        Input("a", (), "a", (2,)),
        Quantize("qa", ("a",), "qa", **CAST),
        Input("b", (), "b", (2,)),
        Quantize("qb", ("b",), "qb", **CAST),
        Add("add", ("qa", "qb"), "y"),
    ),
    ("y",),
).verify()


def excused(a, b, **off) -> list[bool]:
    """For one sample with these inputs, whose tensors are `off` by so much."""
    inputs = {"a": np.array([a], np.float32), "b": np.array([b], np.float32)}
    exact = interpret(NETWORK, inputs, keep=["qa", "qb", "y"])
    got = {name: tensor.values + np.array(off.get(name, 0.0)) for name, tensor in exact.items()}
    compared = {name: compare_codes(exact[name], got[name]) for name in exact}
    return float32_sums_and_ties(NETWORK, inputs, exact, compared).tolist()


@pytest.mark.parametrize("value", [NEAR, -NEAR, 1 + 2 * NEAR + 2**-23])
def test_one_code_near_a_tie(value):
    near = np.float32(value) if abs(value) < 1 else np.nextafter(np.float32(2.5), np.float32(0))
    sign = np.sign(near)
    here = np.floor(np.abs(near) + np.float32(0.5)) != np.floor(np.abs(float(near)) + 0.5)
    assert excused([near, 3], [1, 1], qa=[sign, 0], y=[sign, 0]) == [bool(here)]


def test_everything_else_is_a_difference():
    nothing = [NEAR, 3], [1, 1]
    assert excused(*nothing) == [False]
    assert excused(*nothing, y=[1, 0]) == [False]  # no cast
    assert excused(*nothing, qa=[2, 0]) == [False]  # more than a code
    assert excused(*nothing, qa=[0.5, 0]) == [False]  # no code
    assert excused(*nothing, qa=[0, 1]) == [False]  # elsewhere
    assert excused(*nothing, qa=[1, 1]) == [False]  # elsewhere as well
    assert excused([0.5, 3], [1, 1], qa=[-1, 0]) == [False]  # on the tie itself
    assert excused([0.4, 3], [1, 1], qa=[1, 0]) == [False]  # far from it


def test_the_first_difference_decides():
    both = [NEAR, 3], [NEAR, 1]
    assert excused(*both, qa=[1, 0], qb=[1, 0], y=[2, 0]) == [True]
    assert excused(*both, qa=[1, 0], y=[9, 0]) == [True]  # it follows from it
    assert excused(*both, qa=[0, 7], qb=[1, 0]) == [False]  # another came before
    assert excused(*both, qb=[1, 0], y=[1, 0]) == [True]


WIDE = Graph(
    (
        Input("x", (), "x", (2,)),
        Quantize("q", ("x",), "q", 8, 0),
        Multiply("square", ("q", "q"), "square"),
        Multiply("fourth", ("square", "square"), "fourth"),
        Quantize("cast", ("fourth",), "cast", 8, -20),
    ),
    ("cast",),
).verify()


@pytest.mark.parametrize(
    ("off", "excused"),
    [
        ({"fourth": 1}, True),
        ({"fourth": 1, "cast": 2**20}, True),
        ({"square": 1, "fourth": 1}, False),
        ({"cast": 2**20}, False),
        ({"fourth": None, "cast": 2**20}, True),
    ],
)
@pytest.mark.parametrize("errs", [float32_sums, float32_sums_and_ties])
def test_what_differs_first_at_a_sum_too_wide_for_float32(errs, off, excused):
    """Or behind one that was not compared."""
    exact = interpret(WIDE, np.array([[7, 100]]), keep=["q", "square", "fourth", "cast"])
    compared = {
        name: compare_codes(exact[name], tensor.values + np.array([0, off.get(name, 0)]))
        for name, tensor in exact.items()
        if off.get(name, 0) is not None
    }
    assert errs(WIDE, {}, exact, compared).tolist() == [excused]
