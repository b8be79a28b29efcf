"""Enums and the dialect table; the tools that we depend on are asked what their names mean."""

from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import (
    DIALECTS,
    FixedPointFormat,
    ModeError,
    OverflowMode,
    RoundingMode,
    overflow_name,
    parse_overflow,
    parse_rounding,
    require_overflow_name,
    require_rounding_name,
    rounding_name,
    to_codes,
)
from brevitas_quantizers.fixed_point.dialects import OVERFLOW_NAMES, ROUNDING_NAMES
from tests.oracles.ap_fixed import require_headers

QUARTERS = np.arange(-80, 81) / 4


@pytest.mark.parametrize("mode", [*RoundingMode, *OverflowMode])
def test_modes_are_their_ap_fixed_names(mode: RoundingMode | OverflowMode) -> None:
    assert mode == mode.name == f"{mode}" == str(mode)
    assert type(mode).parse(str(mode)) is type(mode).parse(mode) is mode
    assert pickle.loads(pickle.dumps(mode)) is copy.deepcopy(mode) is mode


def test_wrapping_modes() -> None:
    assert [mode for mode in OverflowMode if mode.wraps] == ["AP_WRAP", "AP_WRAP_SM"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_names_round_trip(dialect: str) -> None:
    for rounding in RoundingMode:
        name = rounding_name(rounding, dialect)
        assert name is None or parse_rounding(name.lower(), dialect) is rounding
    for overflow in OverflowMode:
        name = overflow_name(overflow, dialect)
        assert name is None or parse_overflow(name, dialect) is overflow


def test_table_is_complete() -> None:
    assert list(ROUNDING_NAMES) == list(RoundingMode)
    assert list(OVERFLOW_NAMES) == list(OverflowMode)
    rows = [*ROUNDING_NAMES.values(), *OVERFLOW_NAMES.values()]
    assert {len(row) for row in rows} == {len(DIALECTS)}


@pytest.mark.parametrize("mode", RoundingMode)
@pytest.mark.parametrize("signed", [True, False])
def test_qonnx_executes_what_the_table_says(mode: RoundingMode, signed: bool) -> None:
    from qonnx.custom_op.general.intquant import int_quant

    name = rounding_name(mode, "qonnx")
    for overflow in ("AP_SAT", "AP_SAT_SYM"):
        narrow = overflow_name(overflow, "qonnx", signed) == "narrow=1"
        if name is not None:
            values = int_quant(
                QUARTERS, np.array(1.0), np.array(0.0), np.array(4.0), signed, narrow, name
            )
            codes = to_codes(QUARTERS, FixedPointFormat(4, 4, signed), mode, overflow)
            assert values.tolist() == codes.tolist()


def test_qonnx_synonym() -> None:
    assert parse_rounding("half_even", "qonnx") is parse_rounding("ROUND", "qonnx")


@pytest.mark.parametrize("mode", RoundingMode)
def test_brevitas_executes_what_the_table_says(mode: RoundingMode) -> None:
    import torch
    from brevitas.inject.enum import FloatToIntImplType
    from brevitas.quant.solver.common import solve_float_to_int_impl_from_enum

    name = rounding_name(mode, "brevitas")
    if name is not None:
        implementation = solve_float_to_int_impl_from_enum(FloatToIntImplType[name])()
        rounded = implementation(torch.from_numpy(QUARTERS)).tolist()
        assert rounded == to_codes(QUARTERS, FixedPointFormat(8, 8), mode).tolist()


def test_hls4ml_has_exactly_these_names() -> None:
    types = require_headers().parents[2] / "model" / "types.py"
    column = DIALECTS.index("hls4ml")
    ours = {row[column] for row in ROUNDING_NAMES.values()}
    assert ours == _enum_members(types, "RoundingMode")
    ours = {row[column] for row in OVERFLOW_NAMES.values()} - {None}
    assert ours == _enum_members(types, "SaturationMode")


def _enum_members(source: Path, name: str) -> set[str]:
    """Read without importing hls4ml, which takes seconds."""
    tree = ast.parse(source.read_text())
    (enum,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    return {n.targets[0].id for n in enum.body if isinstance(n, ast.Assign)}  # type: ignore[attr-defined]  # plain names


def test_required_names() -> None:
    assert require_rounding_name("AP_TRN", "qonnx", "conv1.weight") == "FLOOR"
    assert require_overflow_name("AP_SAT_SYM", "qonnx", "conv1.weight") == "narrow=1"
    assert require_overflow_name("AP_SAT_SYM", "qonnx", "relu1", signed=False) == "narrow=0"
    assert overflow_name("AP_SAT_SYM", "hls4ml", signed=False) == "SAT_SYM"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: rounding_name("AP_RND", "onnx"),
            "dialect must be one of ap, brevitas, qonnx, hls4ml, finn, alkaid, not 'onnx'",
        ),
        (
            lambda: parse_rounding("CEIL", "qonnx"),
            "rounding 'CEIL' of qonnx has no ap_fixed equivalent; those with one: "
            "FLOOR, DOWN, HALF_DOWN, HALF_UP, ROUND",
        ),
        (
            lambda: parse_overflow("SAT_ZERO", "alkaid"),
            "overflow 'SAT_ZERO' of alkaid has no ap_fixed equivalent; those with one: "
            "WRAP, SAT, SAT_SYM",
        ),
        (
            lambda: require_rounding_name("AP_RND_MIN_INF", "qonnx", "relu1"),
            "relu1: qonnx has no equivalent of rounding AP_RND_MIN_INF; these work: "
            "AP_TRN, AP_TRN_ZERO, AP_RND_ZERO, AP_RND_INF, AP_RND_CONV",
        ),
        (
            lambda: require_overflow_name("AP_WRAP", "qonnx", "relu1"),
            "relu1: qonnx has no equivalent of overflow AP_WRAP; these work: AP_SAT, AP_SAT_SYM",
        ),
    ],
)
def test_errors(call: Any, text: str) -> None:
    with pytest.raises(ModeError) as caught:
        call()
    assert str(caught.value) == text
