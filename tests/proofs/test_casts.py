"""Casts, proven for every input: each mode pair, several formats, adder graphs and units."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import (
    FixedPointCast,
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
)
from qfx_plugin.proofs.casts import prove_cast, prove_unit, unit_statement
from qfx_plugin.proofs.solver import decide
from qfx_plugin.units.requant import RequantUnit, Scaling

MODES = tuple(product(RoundingMode, OverflowMode))
FORMATS = (
    ((16, 8, True), (8, 3, True)),
    ((16, 8, True), (8, 3, False)),
    ((12, 10, False), (6, 4, True)),
    ((12, 10, False), (6, 2, False)),
    ((24, 12, True), (4, -3, True)),
    ((9, 2, True), (12, 6, True)),
    ((8, 3, True), (1, 1, True)),
    ((10, -4, True), (5, -7, True)),
)
"""(width, fraction bits, sign) of what is cast and of the result."""


def unit(rounding: RoundingMode, overflow: OverflowMode, number: int = 0) -> RequantUnit:
    """A unit for a pair of formats; every other one multiplies and adds first."""
    (bits, source, sign), (width, target, signed) = FORMATS[number]
    shift = source - target
    plain = RequantUnit(
        "unit", "unit", 1, 1, bits, np.array([shift]), width, signed, rounding, overflow,
        input_signed=sign,
    )  # fmt: skip
    if number % 2 or shift < 0:
        return plain
    first, last = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
    scaling = Scaling((5,), (-37,), bits + 5, (max(first, -5),), (min(last, 6),))
    return replace(plain, scaling=scaling)


def proofs(rounding: RoundingMode, overflow: OverflowMode, number: int) -> list[str]:
    source, target = (FixedPointFormat.from_frac_bits(*facts) for facts in FORMATS[number])
    cast = FixedPointCast(target, rounding, overflow)
    both = prove_cast(source, cast), prove_unit(unit(rounding, overflow, number))
    return [one.status for one in both]


@pytest.mark.parametrize(
    ("rounding", "overflow", "number"),
    [("AP_RND_CONV", "AP_WRAP_SM", 0), ("AP_TRN_ZERO", "AP_SAT_SYM", 2), ("AP_RND", "AP_SAT", 3)],
)
def test_some(rounding, overflow, number):
    modes = RoundingMode(rounding), OverflowMode(overflow)
    assert proofs(*modes, number) == ["proven", "proven"]


@pytest.mark.slow
@pytest.mark.parametrize(("rounding", "overflow"), MODES)
def test_every_mode_pair_and_eight_pairs_of_formats(rounding, overflow):
    for number in range(len(FORMATS)):
        assert proofs(rounding, overflow, number) == ["proven", "proven"], FORMATS[number]


def test_channels_in_turn():
    """Two lanes of two channels each, with a binary point for every channel."""
    made = RequantUnit(
        "unit", "unit", 4, 2, 8, np.array([3, 1, 0, -1]), 4, True,
        RoundingMode.AP_RND_CONV, OverflowMode.AP_SAT, relu=True,
    )  # fmt: skip
    assert prove_unit(made).status == "proven"
    text = unit_statement(made)
    wrong = text.sources["made.sv"].replace(".SHIFT(-1)", ".SHIFT(0)")
    assert wrong != text.sources["made.sv"]
    verdict = decide(replace(text, sources={**text.sources, "made.sv": wrong}))
    assert verdict.status == "refuted" and len(verdict.example["x"]) == text.steps


def test_a_wrong_constant_is_found():
    """An offset that is off by one, in the unit alone."""
    right = unit(RoundingMode.AP_RND, OverflowMode.AP_SAT)
    statement = unit_statement(right)
    scaling = replace(right.scaling, offsets=(-36,))
    other = unit_statement(replace(right, scaling=scaling)).sources["made.sv"]
    verdict = decide(replace(statement, sources={**statement.sources, "made.sv": other}))
    (x,) = verdict.example["x"]
    x -= (x >> 15) << 16
    want, got = (min(max((5 * x + add + 16) >> 5, -5), 6) for add in (-37, -36))  # AP_RND
    assert verdict.status == "refuted" and want != got
