"""Thresholds and multiply-add-shift, against the operations themselves on every input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.errors import TargetError
from qfx_plugin.finn_plugin.lowering import affine, chain
from qfx_plugin.finn_plugin.lowering.chain import Link
from qfx_plugin.ir import Add, Clip, FixedType, Multiply, PRelu, Relu, Weight
from tests.finn_plugin.helpers import cast, fixed, stepped

SATURATING = ("AP_SAT", "AP_SAT_SYM")
ROUNDINGS = [mode.value for mode in RoundingMode]


def links(kind, *ops) -> tuple[Link, ...]:
    """A chain from (operation, constant) pairs or operations."""
    result = []
    for entry in ops:
        op, constant = entry if isinstance(entry, tuple) else (entry, None)
        if constant is None:
            after = op.result(kind)
            result.append(Link(op, kind, after))
        else:
            codes = np.asarray(constant.codes).reshape(1, -1, *[1] * (len(kind.shape) - 1))
            other = FixedType(codes.shape[1:], constant.frac_bits, codes.ravel(), codes.ravel())
            after = op.result(kind, other)
            result.append(Link(op, kind, after, codes, other))
        kind = after
    return tuple(result)


def every_input(kind, channels: int) -> np.ndarray:
    column = np.arange(int(kind.low.min()), int(kind.high.max()) + 1)
    return np.repeat(column[:, np.newaxis], channels, axis=1)


def check_thresholds(made, kind) -> None:
    channels, rank = kind.shape[0], len(kind.shape)
    x = every_input(kind, channels)
    y = chain.evaluate(made, x, rank)
    levels = np.arange(int(y.min()) + 1, int(y.max()) + 1)
    bounds = tuple(np.full(channels, int(edge.min())) for edge in (kind.low, kind.high))
    steps = chain.thresholds(made, bounds, rank, levels)
    np.testing.assert_array_equal(stepped(x, steps) + int(y.min()), y)


def check_requant(made, kind) -> None:
    channels = kind.shape[0]
    x = every_input(kind, channels)
    step = affine.requant(made, kind.channels())
    np.testing.assert_array_equal(step(x), chain.evaluate(made, x, len(kind.shape)))


@pytest.mark.parametrize(("rounding", "overflow"), list(product(ROUNDINGS, SATURATING)))
@pytest.mark.parametrize("signed", [True, False])
def test_every_saturating_cast_is_exact_in_both_forms(rounding, overflow, signed):
    kind = fixed((3,), -200, 210, [5, 3, 9])
    made = links(kind, cast(4, (2, 4, 6), rounding, overflow, signed=signed))
    check_thresholds(made, kind)
    check_requant(made, kind)


@pytest.mark.parametrize(
    ("rounding", "overflow"), list(product(ROUNDINGS, ["AP_WRAP", "AP_SAT_ZERO", "AP_WRAP_SM"]))
)
def test_other_overflows_are_exact_as_multiply_add_and_shift(rounding, overflow):
    kind = fixed((2,), -200, 210, [5, 3])
    check_requant(links(kind, cast(4, (2, 4), rounding, overflow)), kind)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_a_wrapping_cast_that_never_wraps_has_thresholds(rounding):
    kind = fixed((2,), -60, 60, 4)
    check_thresholds(links(kind, cast(8, 2, rounding, "AP_WRAP")), kind)


def test_a_wrapping_cast_that_wraps_is_refused_by_name():
    kind = fixed((2,), -200, 200, 4)
    with pytest.raises(TargetError, match="Quantize 'q': AP_WRAP can overflow here"):
        chain.directions(links(kind, cast(4, 2, "AP_TRN", "AP_WRAP")), 2)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_bias_normalisation_and_relu_before_a_cast(rounding, rng):
    kind = fixed((4, 2, 2), -90, 80, 4)
    bias = Weight(rng.integers(-30, 30, 4), np.array([6, 4, 3, 7]), 8)
    scale = Weight(np.array([3, 1, 7, 2]), np.array([2, 0, 3, 1]), 8)
    made = links(
        kind,
        (Add("b", ("t", "c"), "b"), bias),
        (Multiply("s", ("b", "c"), "s"), scale),
        Relu("r", ("s",), "r"),
        cast(5, 3, rounding, signed=False),
    )
    check_thresholds(made, kind)
    check_requant(made, kind)


def test_a_negative_scale_falls_and_is_exact_as_multiply_add(rng):
    kind = fixed((3,), -90, 80, 4)
    scale = Weight(np.array([-3, 5, 0]), np.array([2, 1, 0]), 8)
    made = links(kind, (Multiply("s", ("t", "c"), "s"), scale), cast(5, 3, "AP_RND_CONV"))
    assert chain.directions(made, 3).tolist() == [-1, 1, 1]
    check_requant(made, kind)


def test_prelu_has_thresholds(rng):
    kind = fixed((3,), -90, 80, 4)
    slope = Weight(np.array([1, 3, 0]), np.array([2, 3, 1]), 4)
    check_thresholds(links(kind, PRelu("p", ("t",), "p", slope), cast(5, 2, "AP_RND_CONV")), kind)


def test_prelu_with_a_negative_slope_is_refused_by_name():
    kind = fixed((1,), -90, 80, 4)
    made = links(kind, PRelu("act", ("t",), "p", Weight(np.array([-1]), np.array([2]), 4)))
    with pytest.raises(TargetError, match="PRelu 'act': a negative slope"):
        chain.directions(made, 1)


def test_clip_is_exact_in_both_forms():
    kind = fixed((2,), -90, 80, [4, 1])
    made = links(kind, Clip("c", ("t",), "c", -3, 11, 2), cast(6, 3, "AP_RND_INF"))
    check_thresholds(made, kind)
    check_requant(made, kind)


def test_wrapping_behind_a_relu_is_refused_by_name():
    kind = fixed((1,), -90, 80, 4)
    made = links(kind, Relu("r", ("t",), "r"), cast(3, 3, "AP_TRN", OverflowMode.AP_WRAP))
    with pytest.raises(TargetError, match="Quantize 'q': AP_WRAP behind a ReLU or Clip"):
        affine.requant(made, kind.channels())


def test_two_casts_are_one_table_of_thresholds():
    kind = fixed((2,), -500, 480, 7)
    first = cast(6, 4, "AP_RND_ZERO")
    made = links(kind, first, Relu("r", ("y",), "r"), cast(3, 2, "AP_TRN", signed=False))
    check_thresholds(made, kind)
