"""Arrangements: the same values at other places, every channel with its binary point."""

from __future__ import annotations

import re

import numpy as np
import pytest

from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import (
    Concat,
    Conv,
    Gather,
    Input,
    Pad,
    Quantize,
    Slice,
    SumPool,
    Transpose,
    Upsample,
    Window,
    interpret,
    passes,
)
from tests.ir.graphs import graph, run, source, weight


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


SELECTIONS = {
    "slice": Slice("s", ("q",), "s", (1, 2, 0), (1, 1, 2), (1, 1, 2)),
    "backwards": Slice("s", ("q",), "s", (1, 2, 3), (2, 2, 2), (-1, -2, -3)),
    "constant": Pad("p", ("q",), "p", ((1, 0), (0, 2), (3, 5))),
    "reflect": Pad("p", ("q",), "p", ((1, 0), (2, 2), (3, 3)), "reflect"),
    "edge": Pad("p", ("q",), "p", ((0, 1), (4, 0), (0, 5)), "edge"),
    "wrap": Pad("p", ("q",), "p", ((0, 2), (1, 3), (4, 0)), "wrap"),
    "gather": Gather("g", ("q",), "g", 2, (3, -1, 0, 0)),
    "gather channels": Gather("g", ("q",), "g", 0, (1, -1, 0, 1, 1)),
}


@pytest.mark.parametrize("points", [3, (1, 3)])
@pytest.mark.parametrize("name", SELECTIONS)
def test_selections_show_elements_and_zeros(rng, name, points):
    op, x = SELECTIONS[name], values(rng, 2, 3, 4)
    result, _ = run(*source((2, 3, 4), 9, points), op, x=x)
    places = op.source((2, 3, 4))
    before = interpret(graph(*source((2, 3, 4), 9, points)), x)["q"].values.reshape(7, -1)
    elements = np.append(before, np.zeros((7, 1)), axis=1)
    assert (result.values == elements[:, places]).all()


def test_a_zero_widens_the_range():
    sevens = Conv("c", ("q",), "c", weight([[[0], [0]]]), weight([7]), Window.plain(1))
    network = graph(*source((2, 3), 5, 0), sevens, Pad("p", ("c",), "p", ((0, 0), (1, 0))))
    ranges = [network.fixed_type(name) for name in ("c", "p")]
    assert [(kind.low.tolist(), kind.high.tolist()) for kind in ranges] == [([7], [7]), ([0], [7])]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concat_along_each_axis(rng, axis):
    ops = [*source((2, 3, 4), 9, (1, 3)), Quantize("r", ("x",), "r", 6, (2, 0))]
    ops.append(Quantize("one", ("x",), "one", 6, 1))
    result, _ = run(*ops, Concat("c", ("q", "r", "one"), "c", axis), x=values(rng, 2, 3, 4))
    wanted = [1, 3, 2, 0, 1, 1] if axis == 0 else [2, 3]
    assert result.frac_bits.reshape(-1).tolist() == wanted


@pytest.mark.parametrize("outer", [((0, 0), (1, 4)), ((0, 0), (3, 0))])
@pytest.mark.parametrize("own", [(0, 0), (2, 1), (5, 6)])
def test_padding_is_shared(rng, outer, own):
    window = Window((3,), (2,), (own,), (1,))
    ops = [*source((2, 4)), Pad("p", ("q",), "p", outer)]
    ops.append(Conv("c", ("p",), "c", weight(rng.integers(-7, 8, (3, 2, 3))), None, window))
    network, x = graph(*ops), values(rng, 2, 4)
    run(*ops, x=x)
    shared = passes.apply(network, passes.share_pads, passes.drop_dead)
    kept = [op for op in shared.ops if isinstance(op, Pad)]
    conv = shared.ops[-1]
    total = [a + b for a, b in zip(outer[1], own, strict=True)]
    assert conv.window.pads == ((min(total[0], 2), min(total[1], 2)),)
    assert len(kept) == (max(total) > 2)
    assert interpret(shared, x)["c"] == interpret(network, x)["c"]
    assert passes.share_pads(shared) is shared or kept


def test_a_padded_channel_is_not_shared(rng):
    ops = [*source((2, 4)), Pad("p", ("q",), "p", ((1, 0), (1, 0)))]
    ops.append(SumPool("s", ("p",), "s", Window.plain(2)))
    network = graph(*ops)
    assert passes.share_pads(network) is network


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Transpose("t", ("q",), "t", (0, 1)), "Transpose 't': order [0, 1] does not fit [2, 3, 4]"),
        (Transpose("t", ("q",), "t", (0, 1, 1)), "Transpose 't': order [0, 1, 1] does not fit"),
        (Upsample("u", ("q",), "u", (2,)), "Upsample 'u': factors [2] must be positive, one for"),
        (Upsample("u", ("q",), "u", (0, 1)), "Upsample 'u': factors [0, 1] must be positive"),
        (Upsample("u", ("q",), "u", (1 << 20, 1 << 20)), "Upsample 'u': its output shape"),
        (Slice("s", ("q",), "s", (0, 0), (2, 3), (1, 1)), "Slice 's': needs starts, sizes and"),
        (
            Slice("s", ("q",), "s", (0, 1, 0), (2, 3, 4), (1, 1, 1)),
            "Slice 's': starts [0, 1, 0], sizes [2, 3, 4] and steps [1, 1, 1] leave [2, 3, 4]",
        ),
        (Pad("p", ("q",), "p", ((0, 0), (0, 0))), "Pad 'p': pads [[0, 0], [0, 0]] must be at"),
        (Pad("p", ("q",), "p", ((0, 0), (-1, 0), (0, 0))), "Pad 'p': pads [[0, 0], [-1, 0], [0,"),
        (Pad("p", ("q",), "p", ((0, 0),) * 3, "odd"), "Pad 'p': mode must be one of constant, ref"),
        (
            Pad("p", ("q",), "p", ((0, 0), (3, 0), (0, 0)), "reflect"),
            "Pad 'p': mode 'reflect' has no 3 elements beside 3",
        ),
        (Pad("p", ("q",), "p", ((1 << 40, 0),) * 3), "Pad 'p': its output shape"),
        (Gather("g", ("q",), "g", 3, (0,)), "Gather 'g': axis must be 0 to 2, not 3"),
        (Gather("g", ("q",), "g", 0, (2,)), "Gather 'g': indices must be one or more of 0 to 1"),
        (Gather("g", ("q",), "g", 0, ()), "Gather 'g': indices must be one or more of 0 to 1"),
        (Concat("c", ("q", "q"), "c", 3), "Concat 'c': operands of [[2, 3, 4], [2, 3, 4]] have no"),
    ],
)
def test_refusals(op, text):
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}"):
        graph(*source((2, 3, 4)), op)
