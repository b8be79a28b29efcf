"""`Lookup`: ranges, arithmetic, refusals, JSON form."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import Graph, Input, Lookup, Quantize, Relu, Weight
from qfx_plugin.ir.interpreter import interpret
from tests.ir.graphs import graph as checked


def table(codes, frac_bits=3) -> Weight:
    return Weight(np.asarray(codes), np.array([frac_bits]), 32)


def network(op, *casts, shape=(3, 2)) -> Graph:
    casts = casts or (Quantize("q", ("x",), "q", 4, 1),)
    return checked(Input("x", (), "x", shape), *casts, op)


def test_each_code_has_its_entry():
    codes = np.random.default_rng(0).integers(-99, 99, 16)
    net = network(Lookup("f", ("q",), "f", table(codes), -8, 1))
    x = np.arange(-8, 8)[:, None, None] / 2 * np.ones((1, 3, 2))
    out = interpret(net, {"x": x})["f"]
    assert np.array_equal(out.codes, np.broadcast_to(codes[:, None, None], out.codes.shape))
    assert out.values[0, 0, 0] == float(Fraction(int(codes[0]), 8))


def test_a_coarser_operand_reads_every_other_entry_and_channels_have_their_own_range():
    codes = np.arange(64) ** 2
    cast = Quantize("q", ("x",), "q", 4, (0, 2, 1))
    net = network(Lookup("f", ("q",), "f", table(codes, 0), -32, 2), cast)
    kind = net.types()["f"]
    assert kind.low.tolist() == [0, 24**2, 16**2]
    assert kind.high.tolist() == [(32 + 28) ** 2, 39**2, (32 + 14) ** 2]
    x = np.random.default_rng(1).normal(0, 9, (200, 3, 2))
    out = interpret(net, {"x": x})
    q = interpret(replace(net, outputs=("q",)), {"x": x})["q"]
    wanted = (np.rint(q.values * 4).astype(int) + 32) ** 2
    assert np.array_equal(out["f"].codes, wanted)


def test_the_range_is_that_of_the_entries_that_are_reached():
    codes = np.array([99, *range(8), 99, 99, 99, 99, 99, 99, 99])
    relu = (Quantize("q", ("x",), "q", 4, 1), Relu("r", ("q",), "r"))
    kind = network(Lookup("f", ("r",), "f", table(np.roll(codes, 7)), -8, 1), *relu).types()["f"]
    assert (kind.low[0], kind.high[0]) == (0, 7)


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (
            Lookup("f", ("q",), "f", table(range(16)), -8, 0),
            "Lookup 'f': its table has entries for codes with 0 fractional bits, but its operand "
            "has 1: cast the operand to the table's format first",
        ),
        (
            Lookup("f", ("q",), "f", table(range(15)), -8, 1),
            "Lookup 'f': its table has entries for the codes -8 to 6, but its operand reaches "
            "-8 to 7: cast the operand to the table's format first",
        ),
        (
            Lookup("f", ("q",), "f", table(range(16)), -7, 1),
            "Lookup 'f': its table has entries for the codes -7 to 8, but its operand reaches "
            "-8 to 7: cast the operand to the table's format first",
        ),
        (
            Lookup("f", ("q",), "f", table(np.zeros(4097, int)), -8, 1),
            "Lookup 'f': its table must have 1 to 4096 entries, not 4097: cast its operand to at "
            "most 12 bits",
        ),
        (
            Lookup("f", ("q",), "f", table(np.zeros((4, 4), int)), -8, 1),
            "Lookup 'f': its table must have one axis and one binary point, not shape [4, 4] and "
            "1 binary points",
        ),
        (
            Lookup("f", ("x",), "f", table(range(16)), -8, 1),
            "Lookup 'f': tensor 'x' must be quantized before it is used here; put a Quant node "
            "after the network's input",
        ),
    ],
)
def test_what_does_not_fit_is_refused(op, text):
    with pytest.raises(UnsupportedModelError) as caught:
        network(op)
    assert str(caught.value) == text
