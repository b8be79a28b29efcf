"""Every operation against exact rationals, and its proven range against what it computes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.ir import (
    Add,
    Concat,
    Constant,
    Conv,
    Graph,
    Input,
    Linear,
    Quantize,
    Reshape,
    Window,
    interpret,
)
from tests.ir.graphs import graph, run, source, weight


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.rint(rng.normal(0, 256, size=shape)) / 64


MODES = list(product(RoundingMode, OverflowMode))


@pytest.mark.parametrize(("rounding", "overflow"), MODES, ids=[f"{r}-{o}" for r, o in MODES])
def test_quantize_in_every_mode(rng, rounding, overflow):
    x = np.concatenate([normal(rng, 50, 3), np.arange(-48, 48).reshape(-1, 3) / 64])
    first = source((3,), 12, 6)
    second = Quantize("r", ("q",), "r", 5, (2, 3, -1), True, rounding, overflow)
    run(*first, second, x=x)


@pytest.mark.parametrize(("rounding", "overflow"), MODES, ids=[f"{r}-{o}" for r, o in MODES])
def test_quantize_of_floats_in_every_mode(rng, rounding, overflow):
    x = normal(rng, 60, 3)
    ops = source((3,), 5, (2, 3, -1), signed=False, rounding=rounding, overflow=overflow)
    run(*ops, x=x)


def test_symmetric_saturation_shows_in_the_range():
    ops = source((1,), 8, 4, overflow=OverflowMode.AP_SAT_SYM)
    kind = graph(*ops).fixed_type("q")
    assert (int(kind.low[0]), int(kind.high[0])) == (-127, 127)


@pytest.mark.parametrize("rounding", list(RoundingMode))
def test_quantize_keeps_only_the_reachable_part_of_its_range(rounding):
    narrow = source((1,), 4, 2)
    wide = Quantize("r", ("q",), "r", 12, 5, True, rounding)
    kind = graph(*narrow, wide).fixed_type("r")
    assert (int(kind.low[0]), int(kind.high[0])) == (-64, 56)


@pytest.mark.parametrize("frac_bits", [5, (3, 5, 4, 6)])
@pytest.mark.parametrize("bias_points", [None, 2, (9, 3, 12)])
def test_linear(rng, frac_bits, bias_points):
    w = weight(rng.integers(-100, 100, (3, 4)), [2, 7, 4])
    bias = None if bias_points is None else weight(rng.integers(-99, 99, 3), bias_points)
    op = Linear("fc", ("q",), "y", w, bias)
    run(*source((4,), 8, frac_bits), op, x=normal(rng, 30, 4))


def test_linear_range_is_reached_exactly(rng):
    codes = rng.integers(-8, 8, (4, 6))
    op = Linear("fc", ("q",), "y", weight(codes), weight(rng.integers(-9, 9, 4)))
    kind = graph(*source((6,), 4, 0), op).fixed_type("y")
    low = np.where(codes > 0, -8, 7)
    high = np.where(codes > 0, 7, -8)
    result, _ = run(*source((6,), 4, 0), op, x=np.concatenate([low, high]))
    assert np.array_equal(np.diag(result.codes[:4]), kind.low)
    assert np.array_equal(np.diag(result.codes[4:]), kind.high)


WINDOWS = {
    "plain": Window.plain(3, 2),
    "strided": Window((3, 3), (2, 1), ((0, 0), (0, 0)), (1, 1)),
    "padded": Window((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    "asymmetric": Window((2, 3), (1, 2), ((0, 1), (2, 1)), (1, 1)),
    "dilated": Window((2, 2), (1, 1), ((2, 1), (0, 2)), (2, 3)),
    "pointwise": Window.plain(1, 1),
}


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("frac_bits", [4, (4, 6, 3, 5)])
def test_conv(rng, name, groups, frac_bits):
    window = WINDOWS[name]
    w = weight(rng.integers(-20, 20, (4, 4 // groups, *window.kernel)), rng.integers(0, 4, 4))
    op = Conv("conv", ("q",), "y", w, weight(rng.integers(-9, 9, 4), 5), window, groups)
    run(*source((4, 5, 6), 6, frac_bits), op, x=normal(rng, 2, 4, 5, 6))


def test_padding_counts_in_the_range_of_a_convolution():
    positive = source((1, 2, 2), 4, 0, signed=False)
    one = Quantize("r", ("q",), "r", 4, 0, False)
    shifted = Add("add", ("r", "c"), "s")
    constant = Constant("c", (), "c", weight(np.full((1, 1, 1), 5)))
    window = Window((2, 2), (1, 1), ((1, 0), (1, 0)), (1, 1))
    op = Conv("conv", ("s",), "y", weight(np.ones((1, 1, 2, 2))), None, window)
    kind = graph(*positive, one, constant, shifted, op).fixed_type("y")
    assert (int(kind.low[0]), int(kind.high[0])) == (0, 80)
    result, _ = run(*positive, one, constant, shifted, op, x=np.zeros((1, 1, 2, 2)))
    assert result.codes[0, 0].tolist() == [[5, 10], [10, 20]]


def test_conv1d_equals_a_flat_conv2d(rng):
    w = rng.integers(-9, 9, (3, 2, 4))
    x = normal(rng, 5, 2, 11)
    flat = Window((4,), (2,), ((1, 3),), (1,))
    tall = Window((1, 4), (1, 2), ((0, 0), (1, 3)), (1, 1))
    one = Conv("c", ("q",), "y", weight(w), None, flat)
    two = Conv("c", ("q",), "y", weight(w[:, :, None]), None, tall)
    first, _ = run(*source((2, 11)), one, x=x)
    second, _ = run(*source((2, 1, 11)), two, x=x[:, :, None])
    assert np.array_equal(first.codes, second.codes[:, :, 0])


def test_add_aligns_different_binary_points(rng):
    ops = source((3,), 8, 4)
    left = Quantize("l", ("q",), "l", 6, (1, 3, 2))
    right = Quantize("r", ("q",), "r", 7, 4)
    run(*ops, left, right, Add("add", ("l", "r"), "y"), x=normal(rng, 40, 3))


def test_add_of_a_constant_broadcasts(rng):
    constant = Constant("c", (), "c", weight(rng.integers(-9, 9, (2, 1, 1)), [7, 1]))
    ops = [*source((2, 3, 3)), constant, Add("add", ("q", "c"), "y")]
    run(*ops, x=normal(rng, 4, 2, 3, 3))


@pytest.mark.parametrize("shape", [(24,), (2, 12), (4, 6), (12, 2), (3, 8)])
def test_reshape_keeps_values_with_binary_points_per_channel(rng, shape):
    ops = [*source((4, 6), 8, (3, 5, 4, 6)), Reshape("flat", ("q",), "y", shape)]
    run(*ops, x=normal(rng, 5, 4, 6))


def test_flatten_keeps_the_range_of_each_channel():
    ops = [*source((2, 3), 8, (3, 5)), Reshape("flat", ("q",), "y", (6,))]
    assert graph(*ops).fixed_type("y").frac_bits.tolist() == [3, 3, 3, 5, 5, 5]


def test_concat_keeps_the_binary_point_of_each_channel(rng):
    ops = source((2, 3), 8, (3, 5))
    other = Quantize("r", ("q",), "r", 4, 1)
    result, _ = run(*ops, other, Concat("cat", ("q", "r"), "y"), x=normal(rng, 5, 2, 3))
    assert result.frac_bits.reshape(-1).tolist() == [3, 5, 1, 1]


def test_a_float_input_may_be_reshaped_before_its_quantize(rng):
    x = normal(rng, 4, 2, 3)
    ops = source((2, 3))
    late = [ops[0], Reshape("flat", ("x",), "f", (6,)), Quantize("q", ("f",), "q", 8, 4)]
    first, _ = run(*ops, x=x)
    network = graph(*late)
    assert np.array_equal(interpret(network, x)["q"].codes, first.codes.reshape(4, 6))


def test_the_one_bit_word_keeps_its_minus_one_in_symmetric_casts():
    """So has `ap_fixed<1,1,...,AP_SAT_SYM>`; the proven range has to know."""
    cast = Quantize("q", ("x",), "q", 1, 0, True, RoundingMode.AP_RND, OverflowMode.AP_SAT_SYM)
    network = Graph((Input("x", (), "x", (2,)), cast), ("q",)).verify()
    assert interpret(network, np.array([[-3.0, 3.0]]))["q"].codes.tolist() == [[-1, 0]]
    assert (int(network.types()["q"].low[0]), int(network.types()["q"].high[0])) == (-1, 0)
