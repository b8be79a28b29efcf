"""Multiply, PRelu, Clip and SumPool against exact rationals; proven ranges that are reached."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import Add, Clip, Constant, Multiply, PRelu, Quantize, SumPool, Window
from tests.ir.graphs import graph, run, source, weight


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.rint(rng.normal(0, 256, size=shape)) / 64


def extremes(*ops: object) -> tuple[list[int], list[int]]:
    """Proven ends of the last tensor, per channel."""
    kind = graph(*ops).fixed_type(ops[-1].output)
    return [int(v) for v in kind.low], [int(v) for v in kind.high]


def test_multiply_by_a_constant_per_channel(rng):
    constant = Constant("c", (), "c", weight(rng.integers(-9, 9, (3, 1, 1)), [7, -1, 2]))
    ops = [*source((3, 2, 2), 8, (4, 2, 5)), constant, Multiply("mul", ("q", "c"), "y")]
    result, _ = run(*ops, x=normal(rng, 20, 3, 2, 2))
    assert result.frac_bits.reshape(-1).tolist() == [11, 1, 7]


def test_multiply_tensors_of_different_binary_points(rng):
    left = Quantize("l", ("q",), "l", 6, (1, 3, 2))
    right = Quantize("r", ("q",), "r", 7, 4, signed=False)
    ops = [*source((3,), 8, 4), left, right, Multiply("mul", ("l", "r"), "y")]
    run(*ops, x=normal(rng, 40, 3))


@pytest.mark.parametrize(
    ("code", "ends"), [(3, ([-384], [381])), (-3, ([-381], [384])), (0, ([0], [0]))]
)
def test_range_of_a_product_is_exact(code, ends):
    constant = Constant("c", (), "c", weight([code]))
    assert extremes(*source((1,)), constant, Multiply("mul", ("q", "c"), "y")) == ends


@pytest.mark.parametrize("points", [3, -2, (5, -1, 0)])
@pytest.mark.parametrize("signed", [True, False])
def test_prelu(rng, points, signed):
    op = PRelu("prelu", ("q",), "y", weight(rng.integers(-99, 99, 3), points))
    ops = [*source((3, 2), 8, (4, 2, 5), signed=signed), op]
    run(*ops, x=normal(rng, 50, 3, 2))


def test_one_slope_for_all_channels(rng):
    op = PRelu("prelu", ("q",), "y", weight([-5], 2))
    run(*source((3,), 8, (4, 2, 5)), op, x=normal(rng, 20, 3))


@pytest.mark.parametrize(
    ("code", "bits", "ends"),
    [
        (1, 2, ([-128], [127 * 4])),  # a quarter
        (-1, 2, ([0], [127 * 4])),
        (-8, 0, ([0], [1024])),
        (1, -1, ([-256], [127])),  # two
        (0, 0, ([0], [127])),
    ],
)
def test_range_of_a_prelu_is_exact(code, bits, ends):
    op = PRelu("prelu", ("q",), "y", weight([code], bits))
    assert extremes(*source((1,)), op) == ends


def test_a_prelu_of_positive_values_keeps_their_range():
    shift = Constant("c", (), "c", weight([200], 4))
    ops = [*source((1,), 8, 4), shift, Add("add", ("q", "c"), "s")]
    slope = PRelu("prelu", ("s",), "y", weight([-100], 0))
    assert extremes(*ops, slope) == ([72], [327])


@pytest.mark.parametrize(
    ("low", "high", "bits"), [(-3, 9, 1), (0, None, 0), (None, 50, 9), (-40, -5, 3), (1, 1, -1)]
)
def test_clip(rng, low, high, bits):
    op = Clip("clip", ("q",), "y", low, high, bits)
    run(*source((3,), 8, (4, 2, 5)), op, x=normal(rng, 50, 3))
    kind = graph(*source((3,), 8, (4, 2, 5)), op).fixed_type("y")
    assert (kind.frac_bits == np.maximum([4, 2, 5], bits)).all()


def test_range_of_a_clip_is_cut():
    assert extremes(*source((1,), 8, 0), Clip("clip", ("q",), "y", -3, 500)) == ([-3], [127])


def test_sum_pool_pads_with_zeros(rng):
    window = Window((3, 2), (2, 1), ((1, 1), (0, 1)), (1, 1))
    ops = [*source((2, 4, 4), 8, (3, 5)), SumPool("pool", ("q",), "y", window)]
    run(*ops, x=normal(rng, 4, 2, 4, 4))


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (PRelu("p", ("q",), "y", weight([1, 2])), "slope must have shape [1] or [3], not [2]"),
        (Clip("p", ("q",), "y", 3, 2), "bounds must be in order, not 3 and 2"),
    ],
)
def test_refusals(op, text):
    with pytest.raises(UnsupportedModelError) as caught:
        graph(*source((3,)), op)
    assert str(caught.value) == f"{type(op).__name__} 'p': {text}"


def test_shapes_must_broadcast():
    constant = Constant("c", (), "c", weight([1, 2]))
    with pytest.raises(UnsupportedModelError) as caught:
        graph(*source((3,)), constant, Multiply("mul", ("q", "c"), "y"))
    assert str(caught.value) == "Multiply 'mul': shapes [3] and [2] do not broadcast"
