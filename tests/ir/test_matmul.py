"""`MatMul`: ranges that can be reached, binary points, broadcasting, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import Graph, Input, MatMul, Quantize, interpret
from tests.ir import naive
from tests.ir.graphs import graph as checked

PRODUCT = MatMul("mm", ("a", "b"), "mm")


def network(left, right, a_points=1, b_points=2) -> Graph:
    return checked(
        Input("x", (), "x", left),
        Input("y", (), "y", right),
        Quantize("a", ("x",), "a", 4, a_points),
        Quantize("b", ("y",), "b", 3, b_points, False),
        PRODUCT,
    )


def test_both_ends_of_the_range_are_reached():
    for shapes, points in (
        (((2, 3), (3, 2)), (1, (0, 2, 1))),
        (((2, 3), (3, 2)), ((1, 3), 2)),
        (((2, 1, 3), (2, 3, 2)), ((1, 3), (0, 2))),
    ):
        net = network(*shapes, *points)
        kind = net.types()["mm"]
        for end, code in ((kind.low, -99), (kind.high, 99)):
            inputs = {"x": np.full((1, *shapes[0]), code), "y": np.full((1, *shapes[1]), 99)}
            found = interpret(net, inputs)["mm"].codes[0].reshape(shapes[0][0], -1)
            assert (found == np.broadcast_to(end, (shapes[0][0],))[:, None]).all()
        assert kind.peak == max(abs(int(kind.low.min())), int(kind.high.max()))


@pytest.mark.parametrize(
    "shapes",
    [((2, 1, 3, 4), (1, 5, 4, 2)), ((1, 3, 4), (2, 4, 1)), ((3, 4), (4, 3))],
)
def test_the_product_of_exact_numbers(shapes, rng):
    net = network(*shapes)
    inputs = {name: rng.normal(0, 3, (4, *shape)) for name, shape in zip("xy", shapes, strict=True)}
    found, wanted = interpret(net, inputs)["mm"], naive.run(net, inputs)["mm"]
    assert (naive.of_tensor(found) == wanted).all()
    assert Graph.from_json(net.to_json()) == net


@pytest.mark.parametrize(
    ("left", "right", "text"),
    [
        (
            (3,),
            (3, 2),
            "its operands must both have two dimensions or more behind the batch, and as many, not "
            "shapes [3] and [3, 2]",
        ),
        (
            (2, 3),
            (2, 3),
            "the last dimension of its first operand must be that before the last of its second, "
            "not 3 and 2",
        ),
        ((2, 2, 3), (3, 3, 2), "shapes [2, 2, 3] and [3, 3, 2] do not broadcast"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(left, right, text):
    with pytest.raises(UnsupportedModelError) as caught:
        network(left, right)
    assert str(caught.value) == f"MatMul 'mm': {text}"
