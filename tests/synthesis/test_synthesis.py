"""Counting cells: small designs whose counts are known, the budget, the cache, the depth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.synthesis import estimate as synthesis
from qfx_plugin.synthesis.estimate import (
    ULTRA96,
    ResourceEstimate,
    Resources,
    combine,
    estimate,
)
from qfx_plugin.synthesis.netlist import logic_depth

SUMS = """\
module sum #(parameter int W = 8) (
    input logic clk, input logic [W-1:0] a, b, output logic [W:0] y);
  always_ff @(posedge clk) y <= a + b;
endmodule
module two (input logic clk, input logic [7:0] a, b, c, d, output logic [8:0] y, z);
  sum left (.clk, .a, .b, .y);
  sum right (.clk, .a(c), .b(d), .y(z));
endmodule
"""
PRODUCT = """\
module product (input logic clk, input logic [7:0] a, b, output logic [15:0] y);
  always_ff @(posedge clk) y <= a * b;
endmodule
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QFX_CACHE", str(tmp_path / "cache"))


def write(tmp_path: Path, text: str, name: str = "design.sv") -> list[Path]:
    path = tmp_path / name
    path.write_text(text)
    return [path]


def test_an_adder_is_a_lut_and_a_register_per_bit(tmp_path):
    report = estimate(write(tmp_path, SUMS, "a design.sv"), "two")
    assert report.total == Resources(lut=16, ff=18, carry4=6)
    assert report.modules == {"sum": report.total}
    assert report.total.carry8 == 3
    assert report.depth == 1
    assert report.seconds > 0 and 0 < report.peak_gb < 4
    assert report.exceeds() == []
    assert report.table().startswith("two: Yosys ")
    assert "estimate, not placed or routed; xczu3eg" in report.table()
    assert report.to_dict()["label"] == "Yosys estimate"


def test_parameters_and_the_cache(tmp_path, monkeypatch):
    sources = write(tmp_path, SUMS)
    first = estimate(sources, "sum", parameters={"W": 4})
    assert first.total.ff == 5

    def fail(*arguments, **options):
        raise AssertionError("synthesised again")

    monkeypatch.setattr(synthesis.yosys, "run", fail)
    assert estimate(sources, "sum", parameters={"W": 4}) == first
    with pytest.raises(AssertionError, match="synthesised again"):
        estimate(sources, "sum", parameters={"W": 5})
    write(tmp_path, SUMS + "// changed\n")
    with pytest.raises(AssertionError, match="synthesised again"):
        estimate(sources, "sum", parameters={"W": 4})


@pytest.mark.slow
def test_multipliers_take_dsp_slices_or_luts(tmp_path):
    sources = write(tmp_path, PRODUCT)
    report = estimate(sources, "product")
    assert (report.total.dsp, report.total.lut) == (1, 0)
    without = estimate(sources, "product", dsp=False, keep=tmp_path / "kept")
    assert without.total.dsp == 0 and without.total.lut > 50 and without.depth > 1
    assert (tmp_path / "kept" / "yosys.log").exists()


def test_what_does_not_fit_says_by_how_much():
    big = ResourceEstimate("net", "Yosys 0.70", Resources(lut=100_000, lutram=41_120, carry4=100))
    assert big.exceeds() == [
        "net needs 141,120 LUT, 2.00 times the 70,560 of xczu3eg-sbva484-1-i (Yosys estimate)"
    ]
    has = replace(ULTRA96.resources, lut=200_000, carry=25)
    small = replace(ULTRA96, part="tiny", resources=has)
    assert big.exceeds(small) == ["net needs 50 CARRY8, 2.00 times the 25 of tiny (Yosys estimate)"]


def test_parts_add_up():
    one = ResourceEstimate(
        "a", "Yosys", Resources(lut=3, bram18=1), {"m": Resources(lut=3, bram18=1)}, 4, 1.0, 0.2
    )
    two = ResourceEstimate("b", "Yosys", Resources(lut=5), {"m": Resources(lut=5)}, 2, 2.0, 0.1)
    both = combine("net", [one, two])
    assert both.total == Resources(lut=8, bram18=1)
    assert both.modules == {"m": both.total}
    assert (both.top, both.depth, both.seconds, both.peak_gb) == ("net", 4, 3.0, 0.2)
    assert both.total.bram36 == 0.5


def test_errors_name_the_design(tmp_path):
    with pytest.raises(TargetError, match=r"^source .*nowhere\.sv does not exist$"):
        estimate([tmp_path / "nowhere.sv"], "sum")
    with pytest.raises(TargetError, match=r"^Yosys rejects absent: .*; see .*yosys\.log$"):
        estimate(write(tmp_path, SUMS), "absent", keep=tmp_path / "kept")


def cell(kind: str, inputs: list[int], output: int) -> dict:
    return {
        "type": kind,
        "port_directions": {"I": "input", "O": "output"},
        "connections": {"I": inputs, "O": [output]},
    }


def netlist(**cells: dict) -> dict:
    return {"modules": {"top": {"cells": cells}}}


def test_depth_counts_luts_between_registers():
    chain = netlist(
        a=cell("LUT2", [2], 3),
        carry=cell("CARRY4", [3], 4),
        b=cell("LUT6", [4, 3], 5),
        register=cell("FDRE", [5], 6),
        c=cell("LUT1", [6], 7),
    )
    assert logic_depth(chain, "top") == 2
    assert logic_depth(netlist(), "top") == 0
    assert logic_depth(json.loads(json.dumps(netlist(r=cell("FDRE", [1], 2)))), "top") == 0


def test_a_loop_without_register_is_an_error():
    loop = netlist(a=cell("LUT2", [3], 2), b=cell("LUT2", [2], 3))
    with pytest.raises(TargetError, match=r"^top: loop without a register through [ab]$"):
        logic_depth(loop, "top")
