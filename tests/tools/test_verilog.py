"""Files in any order: packages come first by themselves, in every tool."""

from __future__ import annotations

import pytest

from qfx_plugin.simulation import Beats, Lanes, compile_module
from qfx_plugin.synthesis.estimate import estimate
from qfx_plugin.tools import verilator
from qfx_plugin.tools.verilog import packages_first

USER = (
    "module a_user (input logic [3:0] x, output logic [3:0] y);\n"
    "  assign y = z::flip(x);\nendmodule\n"
)
BASE = "package base;\n  localparam bit [3:0] ALL = 4'hf;\nendpackage\n"
PACKAGE = (
    "// package of nothing;\npackage automatic z;\n"
    "  function logic [3:0] flip(input logic [3:0] x);\n"
    "    return x ^ base::ALL;\n  endfunction\nendpackage\n"
)


def test_the_order_is_kept_otherwise():
    texts = {"b": "module b; endmodule", "z": PACKAGE, "a": "module a; endmodule", "p": BASE}
    assert packages_first(texts) == ["z", "p", "b", "a"]


@pytest.fixture
def sources(tmp_path):
    paths = [tmp_path / name for name in ("a_user.sv", "base.sv", "z.sv")]
    for path, text in zip(paths, (USER, BASE, PACKAGE), strict=True):
        path.write_text(text)
    return paths


def test_simulation_and_lint(sources):
    lanes = Lanes.uniform(1, 4, signed=False)
    verilator.lint(sources, "a_user")
    result = compile_module(sources, "a_user").pipeline({"x": Beats([[5]], lanes)}, {"y": lanes})
    assert result["y"].tolist() == [[10]]


def test_synthesis(sources):
    assert estimate(sources, "a_user").total.lut == 4
