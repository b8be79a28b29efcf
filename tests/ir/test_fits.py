"""Casts that cannot overflow: which, after every rounding, and what they cost then."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode, cast_codes
from qfx_plugin.build.model_steps import fitting
from qfx_plugin.ir import FixedType, Graph, Input, Quantize, interpret
from qfx_plugin.ir.passes import drop_saturation


@pytest.mark.parametrize("rounding", RoundingMode)
def test_fits_is_what_the_modes_agree_on(rounding):
    """Of every operand of a few bits: saturating and wrapping give the same codes."""
    for low, high, bits, signed in itertools.product((-9, -5, 0), (5, 7, 8, 15), (0, 1, 3), (0, 1)):
        codes = np.arange(low, high + 1)
        cast = Quantize("q", ("x",), "q", 3, 1, bool(signed), rounding)
        modes = [
            cast_codes(np.ldexp(codes.astype(float), -bits), 1, 3, bool(signed), rounding, mode)
            for mode in (OverflowMode.AP_SAT, OverflowMode.AP_WRAP)
        ]
        found = cast.fits(FixedType((1,), np.array([bits]), np.array([low]), np.array([high])))
        assert found == np.array_equal(*modes), (low, high, bits, signed)


def test_such_casts_saturate_nothing():
    ops = (
        Input("x", (), "x", (3,)), Quantize("q", ("x",), "q", 4, 2),
        Quantize("wide", ("q",), "wide", 6, 2), Quantize("narrow", ("wide",), "narrow", 3, 2),
    )  # fmt: skip
    graph = Graph(ops, ("narrow",), "g").verify()
    assert fitting(graph) == ["wide"]
    plain = drop_saturation(graph)
    assert [str(op.overflow) for op in plain.ops[1:]] == ["AP_SAT", "AP_WRAP", "AP_SAT"]
    x = np.random.default_rng(0).normal(0, 3, (50, 3))
    assert interpret(plain, x)["narrow"] == interpret(graph, x)["narrow"]
    assert drop_saturation(plain) is plain
