"""The top for Vitis HLS: the canonical form of a dataflow, bit for bit, a model of its pace."""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from qfx_plugin.boards import load_board
from qfx_plugin.build.check.hls import HLS_COMMANDS, check_hls
from qfx_plugin.build.check.record import record
from qfx_plugin.build.render import render
from qfx_plugin.build.targets.hls4ml.handover import script_values
from qfx_plugin.build.targets.hls4ml.pace import ends, interval
from qfx_plugin.build.targets.hls4ml.shell import _OWN_FLAGS
from qfx_plugin.build.targets.hls4ml.wire import Wire, beat_lines
from qfx_plugin.build.vendor_reports import read_cosim
from qfx_plugin.errors import DataError
from qfx_plugin.tools import compiler

PIXELS, CHANNELS = 3, 5
ID = 32 * "0"
SIZE = PIXELS * CHANNELS
NETWORKS = {
    "parallel": """
typedef ap_fixed<6, 2> input_t;
typedef ap_fixed<7, 3> result_t;
inline void net(input_t x[15], result_t y[15]) {
    for (int i = 0; i < 15; i++) {
        #pragma HLS PIPELINE II=1
        y[i] = x[i] + input_t(0.25);
    }
}
""",
    "stream": """
#include "nnet_utils/nnet_types.h"
typedef nnet::array<ap_fixed<6, 2>, 5> input_t;
typedef nnet::array<ap_fixed<7, 3>, 5> result_t;
inline void net(hls::stream<input_t> &x, hls::stream<result_t> &y) {
    for (int p = 0; p < 3; p++) {
        #pragma HLS PIPELINE II=1
        input_t in = x.read();
        result_t out;
        for (int c = 0; c < 5; c++) out[c] = in[c] + ap_fixed<6, 2>(0.25);
        y.write(out);
    }
}
""",
}
HEADERS = Path(str(find_spec("hls4ml").submodule_search_locations[0])) / "templates" / "vivado"


def write(folder: Path, kind: str, beat: int, samples: int, rng) -> Path:
    """A shell around a network of a line, and its beats."""
    values = {
        "TOP": "net_axi", "PROJECT": "net", "GUARD": "NET_AXI_H_", "BEAT": beat, "FLOAT": "false",
        "INPUT_SIZE": SIZE, "INPUT_BITS": 8, "OUTPUT_SIZE": SIZE, "OUTPUT_BITS": 8,
    }  # fmt: skip
    for name, template in (
        ("net_axi.h", "shell.h"), ("net_axi.cpp", f"shell_{kind}.cpp"),
        ("qfx_axi_stream.h", "qfx_axi_stream.h"), ("testbench.cpp", "testbench.cpp"),
        ("standin/ap_axi_sdata.h", "ap_axi_sdata.h"),
    ):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(render(f"hls4ml/{template}", **values))
    (folder / "firmware").mkdir()
    text = '#pragma once\n#include "ap_fixed.h"\n#include "hls_stream.h"\n' + NETWORKS[kind]
    (folder / "firmware" / "net.h").write_text(text)
    codes = rng.integers(-32, 32, (samples, SIZE))
    wires = Wire(SIZE, 6, True, 4, beat), Wire(SIZE, 7, True, 4, beat)
    (folder / "input_beats.txt").write_text(beat_lines(wires[0].pack(codes)))
    (folder / "expected_beats.txt").write_text(beat_lines(wires[1].pack(codes + 4)))
    return folder


def compiled(folder: Path) -> Path:
    objects = [
        compiler.compile_strictly(
            folder / name, folder / f"{name}.o", include_dirs=[folder],
            system_dirs=[folder / "standin", HEADERS / "ap_types", HEADERS], flags=_OWN_FLAGS,
        )
        for name in ("net_axi.cpp", "testbench.cpp")
    ]  # fmt: skip
    return compiler.link_program(objects, folder / "testbench")


def run(program: Path, *arguments: str) -> tuple[int, str]:
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "beat"), [("parallel", 64), ("stream", 32)])
def test_every_beat_of_the_c_simulation(kind, beat, tmp_path, rng):
    folder = write(tmp_path, kind, beat, 7, rng)
    program = compiled(folder)
    beats = -(-SIZE * 8 // beat)
    assert run(program, str(folder)) == (0, f"7 samples, 0 of {7 * beats} beats differ")
    assert run(program, str(folder), "pace") == (0, f"3 samples, 0 of {3 * beats} beats differ")
    path = folder / "expected_beats.txt"
    lines = path.read_text().splitlines()
    lines[1] = f"{int(lines[1], 16) ^ 1:0{beat // 4}x}"
    path.write_text("\n".join(lines) + "\n")
    assert run(program, str(folder)) == (1, f"7 samples, 1 of {7 * beats} beats differ")
    assert run(program, str(folder), "pace") == (1, f"3 samples, 2 of {3 * beats} beats differ")
    path.write_text("\n".join(lines[:-1]) + "\n")
    status, line = run(program, str(folder))
    assert status == 2 and line.startswith("the files must hold whole samples of ")


@pytest.mark.parametrize("kind", ["parallel", "stream"])
def test_the_dataflow_has_the_canonical_form(kind):
    """UG1399: the loop is all that its function has; bound and arguments are plain."""
    values = {"TOP": "net_axi", "PROJECT": "net"}
    text = re.sub(r"//.*", "", render(f"hls4ml/shell_{kind}.cpp", **values))
    body = re.search(r"static void all_samples\((.*?)\) \{\n(.*?)\n\}\n", text, re.DOTALL)
    assert "unsigned samples" in body[1]
    lines = [line.strip() for line in body[2].splitlines()]
    assert lines[:2] == [
        "for (unsigned s = 0; s < samples; s++) {", "#pragma HLS DATAFLOW",
    ]  # fmt: skip
    assert lines[-1] == "}" and text.count("DATAFLOW") == 1
    calls = re.findall(r"\w+(?:<[^;]*>)?\(([^;]*)\);", " ".join(lines[2:-1]))
    arguments = [part.strip() for call in calls for part in call.split(",")]
    assert arguments and all(re.fullmatch(r'\w+|"\w"', part) for part in arguments)
    top = text[text.index("void net_axi") :]
    assert "for (" not in top and top.count(";") == 1


def test_arrays_are_collected_before_the_channel_is_written():
    """A reshaped channel that is written slice by slice is read and modified each time."""
    text = render("hls4ml/qfx_axi_stream.h")
    for name, channel in (("read_array", "x"), ("write_array", "y")):
        body = text[text.index(f"void {name}(") :]
        body = body[: body.index("\n}\n")]
        uses = re.findall(rf"(?<!\w){channel}\[(?!SIZE)([^\]]*)\]", body)
        assert uses == ["i"] and "ARRAY_PARTITION variable=own complete" in body
    for name in ("read_pixels", "write_pixels"):
        body = text[text.index(f"void {name}(") :]
        assert "ARRAY_PARTITION variable=own complete" in body[: body.index("\n}\n")]


@pytest.mark.parametrize("cycles", [[2, 1, 8], [8, 1, 2], [5, 12, 3], [1], [7, 7, 7], [1, 9, 9, 1]])
def test_samples_overlap_in_the_canonical_form_only(cycles):
    assert interval(cycles) == max(cycles)
    assert interval(cycles, canonical=False) == sum(cycles)
    for canonical in (True, False):
        assert ends(cycles, 1, canonical=canonical) == [sum(cycles)]
        left = ends(cycles, 40, canonical=canonical)
        assert left == sorted(set(left)) and ends(cycles, 0, canonical=canonical) == []


def test_co_simulation_in_script_and_report(tmp_path):
    values = script_values(
        load_board("ultra96-v2"), "net_axi", "net", width=64, clock_mhz=100.0, network_id=ID,
        uncertainty="27%", samples=4, cosim=True,
    )  # fmt: skip
    for name in ("firmware/net.cpp", "firmware/weights/w2.txt", "testbench.cpp",
                 "input_beats.txt", "expected_beats.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "net_axi.cpp").write_text("void net_axi(int x) {}\n")
    (tmp_path / "vitis_hls.tcl").write_text(render("hls4ml/vitis_hls.tcl", **values))
    calls = record(tmp_path / "vitis_hls.tcl", HLS_COMMANDS, tmp_path)
    check_hls(calls, load_board("ultra96-v2"), 10.0, "net_axi")
    (call,) = [call for call in calls if call.name == "cosim_design"]
    assert call.arguments == ("-rtl", "verilog", "-argv", ". pace")

    path = tmp_path / "report" / "verilog" / "lat.rpt"
    path.parent.mkdir(parents=True)
    with pytest.raises(DataError, match=r"lat.rpt: cannot be read"):
        read_cosim(tmp_path / "report", 100.0)
    path.write_text('$MAX_LATENCY = "38"\n$MIN_LATENCY = "30"\n$AVER_LATENCY = "34"\n')
    assert read_cosim(tmp_path / "report", 100.0) == {
        "source": "Vitis HLS co-simulation", "latency_cycles": 30, "interval_cycles": 8,
        "samples_per_second": 12.5e6,
    }  # fmt: skip
    path.write_text('$MAX_LATENCY = "30"\n$MIN_LATENCY = "30"\n')
    assert "interval_cycles" not in read_cosim(tmp_path / "report", 100.0)
    path.write_text("nothing\n")
    with pytest.raises(DataError, match="is no report of co-simulation: it has no 'MIN_LATENCY'"):
        read_cosim(tmp_path / "report", 100.0)
