"""No sum on the way, in any order and with every alignment, is larger than what is proven."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import Add, AveragePool, Clip, Constant, Linear, Op, SumPool, Window, interpret
from tests.ir.graphs import graph, run, source, weight

UNSIGNED = {"width": 4, "frac_bits": 0, "signed": False}


def peak(*ops: Op) -> int:
    return graph(*ops).fixed_type(ops[-1].output).peak


@pytest.mark.parametrize("bias", [100, -100])
def test_a_bias_counts_with_its_magnitude(bias):
    fc = Linear("fc", ("q",), "y", weight([[3, -2]]), weight([bias]))
    assert peak(*source((2,), 4, 0), fc) == 3 * 8 + 2 * 8 + 100
    finer = Linear("fc", ("q",), "y", weight([[3, -2]]), weight([bias], 3))
    assert peak(*source((2,), 4, 0), finer) == (3 * 8 + 2 * 8) * 8 + 100


@pytest.mark.parametrize("swapped", [False, True])
def test_aligned_addends_count_also_where_their_sum_is_small(swapped):
    one = Constant("c", (), "c", weight([-120], 4))
    names = ("c", "q") if swapped else ("q", "c")
    ops = [*source((1,), **UNSIGNED), one, Add("add", names, "y")]
    assert peak(*ops) == 15 * 16
    kind = graph(*ops).fixed_type("y")
    assert (int(kind.low[0]), int(kind.high[0])) == (-120, 120)


@pytest.mark.parametrize(
    ("low", "high", "frac_bits", "expected"),
    [
        (None, 1 << 20, 10, 1 << 20),  # a bound beyond the aligned operand
        (-(1 << 20), None, 10, 1 << 20),
        (-(1 << 20), 5, 10, 1 << 20),
        (0, 100, 10, 15 << 10),  # the operand before it is cut
        (None, None, 10, 15 << 10),
        (-100, 3, -2, 400),  # bounds on the coarser grid
    ],
)
def test_bounds_and_operands_of_a_clip(low, high, frac_bits, expected):
    clip = Clip("clip", ("q",), "y", low, high, frac_bits)
    assert peak(*source((1,), **UNSIGNED), clip) == expected


@pytest.mark.parametrize("kind", [SumPool, AveragePool])
@pytest.mark.parametrize("offset", [10, -40])
def test_padding_of_a_sum_counts_as_zeros(kind, offset):
    """Also where no value can be zero."""
    window = Window((2, 2), (1, 1), ((1, 1), (1, 1)), (1, 1))
    moved = Constant("c", (), "c", weight([[[offset]]]))
    ops = [*source((1, 3, 3), **UNSIGNED), moved, Add("add", ("q", "c"), "a"),
           kind("pool", ("a",), "y", window)]  # fmt: skip
    x = np.random.default_rng(0).integers(0, 16, (50, 1, 3, 3)).astype(float)
    result, _ = run(*ops, x=x)  # checks that all codes are within the proven range
    wide = np.pad(x + offset, ((0, 0), (0, 0), (1, 1), (1, 1)))
    sums = sum(wide[..., i : i + 4, j : j + 4] for i in range(2) for j in range(2))
    np.testing.assert_array_equal(result.codes, sums)
    kind_of = graph(*ops).fixed_type("y")
    assert (int(kind_of.low[0]), int(kind_of.high[0])) == (
        min(offset * 4, 0), max((15 + offset) * 4, 0),
    )  # fmt: skip


def test_without_padding_nothing_is_added():
    window = Window.plain(2, 2)
    moved = Constant("c", (), "c", weight([[[10]]]))
    ops = [*source((1, 2, 2), **UNSIGNED), moved, Add("add", ("q", "c"), "a"),
           SumPool("pool", ("a",), "y", window)]  # fmt: skip
    kind = graph(*ops).fixed_type("y")
    assert (int(kind.low[0]), int(kind.high[0])) == (40, 100)


@pytest.mark.parametrize(("last", "fits"), [(2**40 - 1, True), (2**40, False)])
def test_the_last_sum_of_63_bits(last, fits):
    """`2**22` of the input times two weights: 63 bits are enough, or one too few."""
    fc = Linear("fc", ("q",), "y", weight([[2**40, last]], width=48), None)
    network = graph(*source((2,), 23, 0), fc)
    x = np.full((1, 2), -(2.0**22))
    assert network.fixed_type("y").peak == 2**22 * (2**40 + last)
    if fits:
        assert int(interpret(network, x)["y"].codes[0, 0]) == -(2**22) * (2**40 + last)
        return
    with pytest.raises(UnsupportedModelError, match="its sums need 65 bits; the interpreter has"):
        interpret(network, x)
