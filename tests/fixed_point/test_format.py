"""`FixedPointFormat` and `FixedPointCast`: derived facts, names, errors."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from brevitas_quantizers.fixed_point import (
    FixedPointCast,
    FixedPointFormat,
    FormatError,
    ModeError,
    OverflowMode,
    QfxError,
    RoundingMode,
)
from tests.strategies import formats


@pytest.mark.parametrize(
    ("name", "frac_bits", "lsb", "min_code", "max_code", "smallest", "largest"),
    [
        ("ap_fixed<8,3>", 5, 2**-5, -128, 127, -4.0, 3.96875),
        ("ap_ufixed<8,3>", 5, 2**-5, 0, 255, 0.0, 7.96875),
        ("ap_fixed<1,1>", 0, 1.0, -1, 0, -1.0, 0.0),
        ("ap_ufixed<1,0>", 1, 0.5, 0, 1, 0.0, 0.5),
        ("ap_fixed<4,-3>", 7, 2**-7, -8, 7, -0.0625, 0.0546875),
        ("ap_fixed<4,9>", -5, 32.0, -8, 7, -256.0, 224.0),
    ],
)
def test_derived_facts(
    name: str,
    frac_bits: int,
    lsb: float,
    min_code: int,
    max_code: int,
    smallest: float,
    largest: float,
) -> None:
    fmt = FixedPointFormat.parse(name)
    assert str(fmt) == name
    assert (fmt.frac_bits, fmt.lsb) == (frac_bits, lsb)
    assert (fmt.min_code, fmt.max_code) == (min_code, max_code)
    assert (fmt.min, fmt.max) == (smallest, largest)


@given(formats(far=2000))
def test_names_round_trip(fmt: FixedPointFormat) -> None:
    assert FixedPointFormat.parse(str(fmt)) == fmt
    assert FixedPointFormat.from_frac_bits(fmt.width, fmt.frac_bits, fmt.signed) == fmt
    cast = FixedPointCast(fmt, RoundingMode.AP_RND_INF, OverflowMode.AP_WRAP_SM)
    assert FixedPointCast.parse(str(cast)) == cast


def test_short_names_and_spaces() -> None:
    assert FixedPointFormat.parse(" fixed< 8 , -3 > ") == FixedPointFormat(8, -3)
    assert FixedPointFormat.parse("ufixed<8,3>") == FixedPointFormat(8, 3, signed=False)


def test_omitted_modes_are_those_of_ap_fixed() -> None:
    assert str(FixedPointCast.parse("ap_fixed<8,3>")) == "ap_fixed<8,3,AP_TRN,AP_WRAP>"
    assert str(FixedPointCast.parse("ap_fixed<8,3,AP_RND>")) == "ap_fixed<8,3,AP_RND,AP_WRAP>"


def test_numpy_integers_become_plain_ones() -> None:
    fmt = FixedPointFormat(np.int64(8), np.int8(3), np.bool_(True))
    assert (type(fmt.width), type(fmt.integer_bits), type(fmt.signed)) == (int, int, bool)
    assert hash(fmt) == hash(FixedPointFormat(8, 3))


def test_frozen_and_portable() -> None:
    fmt = FixedPointFormat(8, 3)
    assert pickle.loads(pickle.dumps(fmt)) == copy.deepcopy(fmt) == fmt
    with pytest.raises(dataclasses.FrozenInstanceError):
        fmt.width = 9  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("wider", "narrower", "contained"),
    [
        ("ap_fixed<8,3>", "ap_fixed<8,3>", True),
        ("ap_fixed<9,4>", "ap_ufixed<8,3>", True),
        ("ap_fixed<8,3>", "ap_ufixed<8,3>", False),
        ("ap_ufixed<8,3>", "ap_fixed<4,2>", False),
        ("ap_fixed<8,3>", "ap_fixed<4,-2>", False),
        ("ap_fixed<12,3>", "ap_fixed<4,2>", True),
    ],
)
def test_contains(wider: str, narrower: str, contained: bool) -> None:
    assert FixedPointFormat.parse(wider).contains(FixedPointFormat.parse(narrower)) is contained


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: FixedPointFormat(0, 0), FormatError, "width must be at least 1 bit, not 0"),
        (lambda: FixedPointFormat(8.0, 3), FormatError, "width must be an integer, not 8.0"),
        (lambda: FixedPointFormat("8", 3), FormatError, "width must be an integer, not '8'"),
        (lambda: FixedPointFormat(True, 3), FormatError, "width must be an integer, not True"),
        (
            lambda: FixedPointFormat(8, None),
            FormatError,
            "integer_bits must be an integer, not None",
        ),
        (lambda: FixedPointFormat(8, 3, 2), FormatError, "signed must be True or False, not 2"),
        (
            lambda: FixedPointFormat.parse("ap_int<8>"),
            FormatError,
            "format must look like 'ap_fixed<8,3>' or 'ap_ufixed<8,3>', not 'ap_int<8>'",
        ),
        (
            lambda: FixedPointFormat.parse("ap_fixed<8,3,AP_RND>"),
            FormatError,
            "format must look like 'ap_fixed<8,3>' or 'ap_ufixed<8,3>', not 'ap_fixed<8,3,AP_RND>'",
        ),
        (
            lambda: FixedPointFormat.parse("ap_fixed<8,W>"),
            FormatError,
            "'W' is not a number of bits in 'ap_fixed<8,W>'",
        ),
        (
            lambda: FixedPointCast.parse("ap_fixed<8,3,AP_RND,AP_SAT,0>"),
            FormatError,
            "cast must look like 'ap_fixed<8,3,AP_RND,AP_SAT>', "
            "not 'ap_fixed<8,3,AP_RND,AP_SAT,0>'",
        ),
        (
            lambda: FixedPointCast.parse("ap_fixed<8,3,AP_ROUND>"),
            ModeError,
            "rounding mode must be one of AP_TRN, AP_TRN_ZERO, AP_RND, AP_RND_ZERO, AP_RND_INF, "
            "AP_RND_MIN_INF, AP_RND_CONV, not 'AP_ROUND'; did you mean 'AP_RND'?",
        ),
        (
            lambda: FixedPointFormat(8, 2000).max,
            FormatError,
            "ap_fixed<8,2000> has no float64 for code 127",
        ),
        (
            lambda: FixedPointFormat(8, -2000).lsb,
            FormatError,
            "ap_fixed<8,-2000> has no float64 for code 1",
        ),
    ],
)
def test_errors(call: Any, kind: type[QfxError], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
