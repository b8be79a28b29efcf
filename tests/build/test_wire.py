"""How values travel over AXI-Stream, and what the vendor's tools report."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.build.targets.hls4ml.wire import Wire, beat_lines
from qfx_plugin.build.vendor_reports import (
    read_clocks,
    read_csynth,
    read_hierarchy,
    read_power,
    read_timing,
    read_utilization,
)
from qfx_plugin.errors import DataError, TargetError
from tests.build import fake_amd


@pytest.mark.parametrize(
    ("width", "beat", "bits", "lanes", "beats"),
    [
        (1, 64, 8, 8, 2),
        (8, 32, 8, 4, 3),
        (9, 64, 16, 4, 3),
        (20, 128, 32, 4, 3),
        (33, 64, 64, 1, 10),
    ],
)
def test_sizes(width, beat, bits, lanes, beats):
    wire = Wire(10, width, True, 3, beat)
    assert (wire.bits, wire.lanes, wire.beats) == (bits, lanes, beats)


def test_packing():
    wire = Wire(3, 10, True, 0, 32)
    codes = np.array([[1, -2, 3], [-512, 511, 0]])
    assert beat_lines(wire.pack(codes)) == "fffe0001\n00000003\n01fffe00\n00000000\n"


@pytest.mark.parametrize("width", [5, 8, 12, 16, 20, 32, 40])
def test_packing_loses_nothing(width, rng):
    wire = Wire(7, width, True, 0, 128)
    codes = rng.integers(-(1 << (width - 1)), 1 << (width - 1), (20, 7))
    back = wire.pack(codes).view(f"<i{wire.bits // 8}").reshape(20, -1)
    np.testing.assert_array_equal(back[:, :7], codes)
    assert not back[:, 7:].any()


def test_floats():
    wire = Wire(2, 10, True, 3, 64, is_float=True)
    assert beat_lines(wire.pack(np.array([[1.0, -2.5]]))) == "c02000003f800000\n"


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (Wire(1, 65, True, 0, 64), "output: a code must have at most 64 bits, not 65"),
        (Wire(1, 40, True, 0, 32),
         "axis_width must be at least 64 for the output, whose codes have 40 bits, not 32"),
        (Wire(1, 25, True, 0, 64, True),
         "interface must be codes for the output: its codes have 25 bits, and a 32-bit float holds "
         "24"),
    ],
)  # fmt: skip
def test_wires_that_do_not_fit(wire, message):
    with pytest.raises(TargetError) as error:
        wire.check("output", exact_float=True)
    assert str(error.value) == message


def test_csynth(tmp_path):
    path = tmp_path / "csynth.xml"
    path.write_text(fake_amd.CSYNTH)
    facts = read_csynth(path)
    assert facts["resources"]["used"] == {"lut": 4239, "ff": 5751, "dsp": 21, "bram36": 9.5}
    assert facts["timing"] == {
        "source": "Vitis HLS estimate", "period_ns": 8.5, "least_cycles": 19, "most_cycles": None,
        "interval_cycles": 1027,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "<profile/>", "<profile><Resources/></profile>", "LUT 3"])
def test_no_csynth(text, tmp_path):
    path = tmp_path / "csynth.xml"
    path.write_text(text)
    with pytest.raises(DataError, match="is no synthesis report of Vitis HLS"):
        read_csynth(path)


SEVEN_SERIES = """\
+-------------------------+------+-------+-----------+-------+
|        Site Type        | Used | Fixed | Available | Util% |
+-------------------------+------+-------+-----------+-------+
| Slice LUTs*             | 3601 |     0 |     53200 |  6.77 |
| Slice Registers         | 3904 |     0 |    106400 |  3.67 |
| Block RAM Tile          |    3 |     0 |       140 |  2.14 |
| DSPs                    |   11 |     0 |       220 |  5.00 |
+-------------------------+------+-------+-----------+-------+

+------------+-------+---------------------+
|  Ref Name  |  Used | Functional Category |
+------------+-------+---------------------+
| FDRE       |  3800 |        Flop & Latch |
| CARRY4     |   273 |          CarryLogic |
| DSP48E1    |    11 |    Block Arithmetic |
+------------+-------+---------------------+
"""


def test_utilization(tmp_path):
    path = tmp_path / "u.rpt"
    path.write_text(fake_amd.UTILIZATION)
    assert read_utilization(path) == {
        "lut": 14657, "ff": 12149, "carry": 913, "bram36": 26.5, "dsp": 158,
    }  # fmt: skip
    path.write_text(SEVEN_SERIES)
    assert read_utilization(path) == {
        "lut": 3601, "ff": 3904, "carry": 273, "bram36": 3, "dsp": 11,
    }  # fmt: skip
    path.write_text("nothing")
    with pytest.raises(DataError, match="is no utilization report of Vivado"):
        read_utilization(path)


def test_timing(tmp_path):
    path = tmp_path / "t.rpt"
    path.write_text(fake_amd.TIMING)
    assert read_timing(path) == {
        "worst_setup_slack_ns": 2.479, "failing_endpoints": 0, "worst_hold_slack_ns": 0.022,
    }  # fmt: skip
    path.write_text(fake_amd.TIMING.replace("2.479", "   NA"))
    with pytest.raises(DataError, match="the design timing summary has no figures"):
        read_timing(path)
    path.write_text("")
    with pytest.raises(DataError, match="is no timing summary of Vivado"):
        read_timing(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_timing(tmp_path / "none")


def test_power(tmp_path):
    path = tmp_path / "p.rpt"
    path.write_text(fake_amd.POWER)
    assert read_power(path) == {
        "watt": 2.904, "dynamic_watt": 2.581, "static_watt": 0.323, "processor_watt": 2.215,
    }  # fmt: skip
    path.write_text("| Total On-Chip Power (W)  | 0.104        |\n")
    assert read_power(path) == {"watt": 0.104}
    path.write_text("")
    with pytest.raises(DataError, match="is no power report of Vivado"):
        read_power(path)


def test_hierarchy(tmp_path):
    path = tmp_path / "h.rpt"
    path.write_text(fake_amd.HIERARCHY)
    parts = read_hierarchy(path)
    assert list(parts) == [
        "", "system_i", "system_i/accelerator", "system_i/accelerator/inst", "system_i/dma",
    ]  # fmt: skip
    assert parts["system_i/accelerator"] == {
        "lut": 9120, "ff": 6001, "dsp": 158, "uram": 0, "bram36": 5.5,
    }  # fmt: skip
    older = fake_amd.HIERARCHY.replace("DSP Blocks", "DSP48 Blocks").replace(" URAM ", " OTHER ")
    path.write_text(older)
    assert read_hierarchy(path)["system_i/dma"] == {
        "lut": 1890,
        "ff": 2600,
        "dsp": 0,
        "bram36": 2.5,
    }
    path.write_text(fake_amd.UTILIZATION)
    with pytest.raises(DataError, match="is no report of Vivado by hierarchy"):
        read_hierarchy(path)


def test_clocks(tmp_path):
    path = tmp_path / "t.rpt"
    path.write_text(fake_amd.TIMING)
    assert read_clocks(path) == {"clk_pl_0": 99.999}
    path.write_text(fake_amd.TIMING + "  made     {0.000 1.333}        2.667           375.023\n\n")
    assert read_clocks(path) == {"clk_pl_0": 99.999, "made": 375.023}
    path.write_text("")
    assert read_clocks(path) == {}
