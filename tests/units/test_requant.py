"""The cast unit: every mode of `ap_fixed`, one binary point or one per channel, against NumPy."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode, requantize
from qfx_plugin.errors import TargetError
from qfx_plugin.ir import FixedType, Quantize
from qfx_plugin.simulation import Beats, Expect, Lanes, compile_module
from qfx_plugin.tools import verilator
from qfx_plugin.units.modes import OVERFLOWS, ROUNDINGS
from qfx_plugin.units.requant import requant
from qfx_plugin.units.sources import sources_of, unit_files

MODES = list(product(ROUNDINGS, OVERFLOWS))
CASTS = [
    # operand bits, result bits, signed, bits to the right
    (9, 4, True, 3),
    (9, 4, False, 2),
    (6, 1, True, 2),
    (6, 8, True, -2),
    (5, 4, True, 7),
    (7, 3, False, 0),
]


def test_every_mode_is_there():
    assert set(ROUNDINGS) == set(RoundingMode)
    assert set(OVERFLOWS) == set(OverflowMode)


def test_the_package_has_the_same_numbers():
    text = unit_files()["qfx_modes_pkg"].read_text()
    numbers = [(name, int(number)) for name, number in re.findall(r"int (AP_\w+) = (\d+);", text)]
    assert numbers == [
        (mode.value, number)
        for modes in (ROUNDINGS, OVERFLOWS)
        for number, mode in enumerate(modes)
    ]
    branches = re.findall(r"^ *(AP_\w+): ", text, re.MULTILINE)
    assert branches == [mode.value for mode in ROUNDINGS]


def test_modes_stand_in_the_package_only():
    """No other file decides by a number, or has a case of its own."""
    for name, path in unit_files().items():
        code = re.sub(r"//.*", "", path.read_text())
        compared = re.findall(r"(?:ROUNDING|OVERFLOW)\s*[=<>!]=?=?\s*(\S+)", code)
        names = [word for word in compared if not word.startswith("qfx_modes_pkg::AP_")]
        assert all(re.fullmatch(r"0,?", word) for word in names), (name, names)  # a default value
        assert name == "qfx_modes_pkg" or "case" not in code


@pytest.mark.parametrize("parameter", ["ROUNDING", "OVERFLOW"])
def test_a_number_without_a_mode_does_not_elaborate(parameter):
    modes = {"ROUNDING": ROUNDINGS, "OVERFLOW": OVERFLOWS}[parameter]
    with pytest.raises(TargetError, match=f"{parameter} must be the number of a mode"):
        verilator.lint(sources_of("qfx_cast"), "qfx_cast", parameters={parameter: len(modes)})


def bench(bits: int, width: int, signed: bool, shift: int) -> str:
    """A module with one qfx_cast for each pair of modes."""
    body = "".join(
        f"  qfx_cast #(.IW({bits}), .OW({width}), .OSIGNED(1'b{int(signed)}), .SHIFT({shift}),"
        f" .ROUNDING({index // len(OVERFLOWS)}), .OVERFLOW({index % len(OVERFLOWS)})) cast_{index}"
        f" (.clk, .en(1'b1), .x, .block(1'b0), .block_q(1'b0), .y(y[{index * width}+:{width}]));\n"
        for index in range(len(MODES))
    )
    return (
        f"module bench (input logic clk, input logic [{bits - 1}:0] x, "
        f"output logic [{len(MODES) * width - 1}:0] y);\n{body}endmodule\n"
    )


@pytest.mark.parametrize(("bits", "width", "signed", "shift"), CASTS)
def test_all_modes_on_all_codes(tmp_path, bits, width, signed, shift):
    source = tmp_path / "bench.sv"
    source.write_text(bench(bits, width, signed, shift))
    codes = np.arange(-(1 << (bits - 1)), 1 << (bits - 1))
    result = compile_module([source, *sources_of("qfx_cast")], "bench").pipeline(
        {"x": Beats(codes[:, np.newaxis], Lanes.uniform(1, bits))},
        {"y": Lanes.uniform(len(MODES), width, signed)},
        latency=2,
    )["y"]
    for column, (rounding, overflow) in zip(result.T, MODES, strict=True):
        wanted = requantize(codes, shift, 0, width, signed, rounding, overflow)
        assert np.array_equal(column, wanted), (rounding, overflow)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("rounding", ["AP_RND_CONV", "AP_RND_MIN_INF"])
def test_a_binary_point_and_a_range_per_channel(tmp_path, relu, rounding):
    """All codes of each channel's own range: half of them are ties somewhere, few saturate."""
    points = np.array([3, 0, 6, -1, 4, 2])
    limit = np.array([256, 8, 256, 4, 64, 256], dtype=object)
    operand = FixedType((6,), points, -limit, limit - 1)
    targets = (1, 2, 4, 3, 5, 1)
    cast = Quantize("act", ("y",), "z", 9, targets, not relu, RoundingMode(rounding))
    unit = requant(cast, operand, pe=2, relu=relu)
    columns = [np.arange(512) % (2 * size) - size for size in limit.astype(int)]
    codes = np.stack(columns, axis=1)
    result = compile_module(unit.write(tmp_path), unit.name).stream(
        {"s_axis": Beats(codes.reshape(-1, 2), Lanes.uniform(2, unit.input_bits))},
        {"m_axis": Expect(3 * 512, Lanes.uniform(2, 9, not relu))},
        idle=0.2,
        backpressure=0.3,
    )
    x = np.maximum(codes, 0) if relu else codes
    modes = 9, not relu, rounding, OverflowMode.AP_SAT
    wanted = requantize(x, points, np.array(targets), *modes)
    assert np.array_equal(result.outputs["m_axis"].reshape(-1, 6), wanted)
    other = requantize(x, points, np.array(targets), 9, not relu, "AP_RND", OverflowMode.AP_SAT)
    assert (wanted != other).any(axis=0).sum() >= 3, "channels with ties that the mode decides"


def test_a_word_each_cycle(tmp_path, rng):
    operand = FixedType((4,), np.array([3]), np.array([-99]), np.array([99]))
    unit = requant(Quantize("act", ("y",), "z", 4, 1), operand, pe=4)
    codes = rng.integers(-99, 100, size=(100, 4))
    result = compile_module(unit.write(tmp_path), unit.name).stream(
        {"s_axis": Beats(codes, Lanes.uniform(4, unit.input_bits))},
        {"m_axis": Expect(100, Lanes.uniform(4, 4))},
    )
    assert result.cycles <= 100 + 4


def test_refusals():
    operand = FixedType((6,), np.array([3]), np.array([-9]), np.array([9]))
    cast = Quantize("act", ("y",), "z", 4, 1)
    with pytest.raises(
        TargetError, match=r"^Quantize 'act': pe must divide its 6 channels, not be 4$"
    ):
        requant(cast, operand, pe=4)
    far = FixedType((2,), np.array([0, 300]), np.array([-9]), np.array([9]))
    with pytest.raises(TargetError, match=r"at most 255 apart, not -1 to 299$"):
        requant(cast, far)
