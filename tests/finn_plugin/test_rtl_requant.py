"""`QFXRequant` in Verilog on every code of a narrow format, in every mode: ties, clips, all bits.

All units are one library: a dozen small ones take as long as one by itself.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from qfx_plugin.finn_plugin.lowering.plan import type_range
from qfx_plugin.simulation import Beats, Expect, Lanes, VerilogModule, compile_modules
from qfx_plugin.units.modes import OVERFLOWS, ROUNDINGS
from tests.finn_plugin.test_rtl import CHANNELS, Unit

MULTIPLIERS = [3, -7, 5, 4, -1, 6]
OFFSETS = [2, 31, -9, 0, 5, -30]
"""Sums up to 255, in quarters: every fourth is a tie, above and below zero."""

LOWS, HIGHS = [-12, -9, -15, 0, -7, -11], [11, 15, 9, 13, 12, 6]


def every_code(datatype: str) -> np.ndarray:
    """(1, codes, 1, channels): all of them in each channel, each in another order."""
    low, high = type_range(datatype)
    columns = [np.roll(np.arange(low, high + 1), 5 * c) for c in range(CHANNELS)]
    return np.stack(columns, axis=-1)[np.newaxis, :, np.newaxis]


def unit(name: str, folder: Path, **attributes: object) -> Unit:
    """A unit that is fed every code; six bits in, five bits out, two bits lost by default."""
    (folder / name).mkdir()
    signed = attributes.get("signedCast", 1)
    return Unit("QFXRequant", folder / name, name=name, **{
        "PE": 2, "numInputVectors": [1, 64, 1], "inputDataType": "INT6", "shift": 2, "width": 5,
        "outputDataType": "INT5" if signed else "UINT5", "signedCast": 1,
        "offset": [0] * CHANNELS, **attributes,
    })  # fmt: skip


def check(folder: Path, units: list[Unit]) -> None:
    """All units of one input type and PE in one module, which feeds them the same stream."""
    groups = [list(part) for _, part in groupby(sorted(units, key=_ports), key=_ports)]
    benches = [_bench(folder, f"bench{n}", group) for n, group in enumerate(groups)]
    for bench, group in zip(compile_modules(benches, quick=True), groups, strict=True):
        kind, pe = _ports(group[0])
        x = every_code(kind)
        lanes = group[0].lanes(group[0].op.get_input_datatype(), pe)
        beats = np.zeros((x.size // pe, len(lanes.widths)), dtype=np.int64)
        beats[:, :pe] = x.reshape(-1, pe)
        wide = [one.lanes(one.op.get_output_datatype(), pe) for one in group]
        out = Lanes(sum((w.widths for w in wide), ()), sum((w.signed for w in wide), ()))
        result = bench.stream(
            {"in0_V": Beats(beats, lanes)}, {"out0_V": Expect(len(beats), out)},
            idle=0.3, backpressure=0.4,
        )  # fmt: skip
        got = np.split(result.outputs["out0_V"], len(group), axis=1)
        for one, columns in zip(group, got, strict=True):
            (want,) = one.python(x)
            text = str(one.op.onnx_node)
            np.testing.assert_array_equal(columns[:, :pe].reshape(want.shape), want, err_msg=text)
            assert len(np.unique(want)) > 4


def _ports(one: Unit) -> tuple[str, int]:
    return one.op.get_nodeattr("inputDataType"), one.op.get_nodeattr("PE")


def _bench(folder: Path, name: str, group: list[Unit]) -> VerilogModule:
    """The units side by side: all take and give beats at the same time."""
    files = dict.fromkeys(
        Path(path) for one in group for path in one.op.get_rtl_file_list(abspath=True)
    )
    width = (_ports(group[0])[1] * 5 + 7) // 8 * 8
    cells = [
        f"  wire ready{n}, valid{n};\n  {one.op.get_nodeattr('gen_top_module')} u{n} (.ap_clk, "
        f".ap_rst_n, .in0_V_TDATA, .in0_V_TVALID, .in0_V_TREADY(ready{n}), .out0_V_TVALID(valid{n})"
        f", .out0_V_TREADY, .out0_V_TDATA(out0_V_TDATA[{n * width} +: {width}]));"
        for n, one in enumerate(group)
    ]
    top = folder / f"{name}.sv"
    top.write_text(
        f"module {name} (input ap_clk, input ap_rst_n, input [{_bits(group[0]) - 1}:0] in0_V_TDATA,"
        " input in0_V_TVALID, output in0_V_TREADY, output out0_V_TVALID, input out0_V_TREADY,"
        f" output [{width * len(group) - 1}:0] out0_V_TDATA);\n" + "\n".join(cells)
        + "\n  assign in0_V_TREADY = ready0;\n  assign out0_V_TVALID = valid0;\nendmodule\n"
    )  # fmt: skip
    return VerilogModule([*files, top], name)


def _bits(one: Unit) -> int:
    return one.op.get_instream_width_padded(0)


def test_multiply_add_in_every_mode(tmp_path):
    """Sums of all bits, ties, a clip per channel while the stream stops and goes."""
    modes = ["AP_SAT", "AP_SAT_SYM", "AP_WRAP", "AP_SAT_ZERO", "AP_SAT", "AP_SAT", "AP_WRAP_SM"]
    limited = (0, 1, 4, 5)
    units = [
        unit(
            f"unit{index}", tmp_path, mult=MULTIPLIERS, offset=OFFSETS,
            rounding=rounding.value, overflow=modes[index],
            lows=LOWS if index in limited else [-16] * CHANNELS,
            highs=HIGHS if index in limited else [15] * CHANNELS,
            PE=6 if index in (0, 6) else 2,
        )
        for index, rounding in enumerate(ROUNDINGS)
    ]  # fmt: skip
    natural = {"lows": [0] * CHANNELS, "highs": [31] * CHANNELS, "signedCast": 0}
    units.append(
        unit(
            "natural", tmp_path, mult=[1, 2, 3, 4, 5, 6], offset=OFFSETS, **natural,
            inputDataType="UINT6", rounding="AP_RND_CONV", overflow="AP_WRAP",
        )
    )  # fmt: skip
    units.append(  # negative sums are outside of a format that is wider than they are
        unit(
            "wide", tmp_path, mult=[1] * CHANNELS, offset=OFFSETS, **natural, width=20,
            rounding="AP_RND", overflow="AP_SAT_ZERO",
        )
    )  # fmt: skip
    assert {one.op.instance().parameters["AFFINE"] for one in units} == {"1'b1"}
    check(tmp_path, units)


SHIFTS = [4, 1, 2, 1, 4, 2]
"""Powers of two: their bits are never lost."""


def cast(
    name: str, folder: Path, rounding: RoundingMode, overflow: OverflowMode, **more: object
) -> Unit:
    signed = int(more.get("signedCast", 1))
    first, last = type_range("INT5" if signed else "UINT5")
    if overflow is OverflowMode.AP_SAT_SYM and signed:
        first += 1
    limits = {"lows": [first] * CHANNELS, "highs": [last] * CHANNELS}
    modes = {"rounding": rounding.value, "overflow": overflow.value}
    return unit(name, folder, **{"mult": SHIFTS, "shift": 3, **modes, **limits, **more})


def test_shifts_in_every_mode(tmp_path):
    units = [
        cast(f"unit{index}", tmp_path, rounding, OVERFLOWS[index % len(OVERFLOWS)])
        for index, rounding in enumerate(ROUNDINGS)
    ]
    zeros, conv = [0] * CHANNELS, RoundingMode.AP_RND_CONV
    units.append(cast("relu", tmp_path, conv, OverflowMode.AP_SAT, lows=zeros))
    wide = {"signedCast": 0, "mult": [8] * CHANNELS}
    units.append(cast("natural", tmp_path, conv, OverflowMode.AP_SAT, **wide))
    units.append(cast("wraps", tmp_path, conv, OverflowMode.AP_WRAP, **wide))
    units.append(cast("positive", tmp_path, conv, OverflowMode.AP_SAT, inputDataType="UINT6"))
    parameters = [one.op.instance().parameters for one in units]
    assert not any("AFFINE" in values for values in parameters)
    relus = [values["RELU"] for values in parameters[len(ROUNDINGS) :]]
    assert relus == ["1'b1", *["1'b0"] * 3]
    check(tmp_path, units)


@pytest.mark.parametrize("kind", ["INT6", "UINT6"])
def test_sums_have_room_for_all_constants_and_for_rounding_up(kind, tmp_path):
    one = unit(
        "unit", tmp_path, mult=MULTIPLIERS, offset=OFFSETS, lows=LOWS, highs=HIGHS,
        inputDataType=kind, rounding="AP_RND", overflow="AP_SAT",
    )  # fmt: skip
    sums = every_code(kind) * MULTIPLIERS + OFFSETS
    needed = max(int(sums.max()).bit_length(), int(-sums.min() - 1).bit_length()) + 1
    assert one.op.sum_bits() > needed
