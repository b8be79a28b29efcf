"""`qfx build --target finn`: to the hand-over, and hand-overs that a check must refuse."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import onnx
import pytest

from qfx_plugin.build import BuildOptions, Manifest, build
from qfx_plugin.build.targets.finn.check import check_folder
from qfx_plugin.build.targets.finn.includes import check_sources, ports
from qfx_plugin.build.workspace import digests
from qfx_plugin.errors import OptionError, TargetError, ToolMissingError
from qfx_plugin.finn_plugin import adapter
from tests.build import fake_amd
from tests.build.handovers import go_on
from tests.build.kills import draw_moments, kill_in_each, run_undisturbed
from tests.finn_plugin.helpers import BOARD, PART
from tests.qonnx_models import mlp


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    onnx.save(mlp((16, 8, 4), k=2), folder / "m.onnx")
    result = build(folder / "m.onnx", out=folder / "out", target="finn", samples=4)
    return folder / "out", result


@pytest.mark.slow
def test_a_build_goes_to_the_hand_over(built):
    out, result = built
    status = {step.name: step.status for step in result.steps}
    assert status.pop("bitstream") == "waiting"
    assert set(status.values()) == {"done"}
    report = json.loads((out / "report.json").read_text())
    agreement = {row["executor"]: row for row in report["agreement"]}
    assert set(agreement) == {
        "FINN, converted", "FINN, hardware", "FINN, specialised", "FINN, folded",
        "Verilator, unit by unit", "Verilator, stitched",
    }  # fmt: skip
    assert all(row["differing"] == 0 < row["compared"] for row in agreement.values())
    folder = out / "handover"
    assert (folder / "continue.sh").stat().st_mode & 0o111
    assert (folder / "driver" / "settings.json").is_file()
    assert (folder / "driver" / "run_on_board.py").is_file()
    assert len(json.loads((folder / "checks.json").read_text())["checks"]) == 6


@pytest.mark.slow
def test_the_hand_over_s_scripts_are_those_that_were_looked_at(built):
    """Golden: the calls that decide what Vivado builds, in the order in which they come."""
    text = (built[0] / "handover/ip/StreamingDataflowPartition_1/make_project.tcl").read_text()
    cells = [line.split()[-2] for line in text.splitlines() if line.startswith("create_bd_cell")]
    assert cells == [
        "StreamingFIFO_rtl_0", "QFXMVU_rtl_0", "StreamingFIFO_rtl_1", "QFXRequant_rtl_0",
        "StreamingFIFO_rtl_2", "QFXMVU_rtl_1", "StreamingFIFO_rtl_3", "sim_ctrl",
    ]  # fmt: skip
    system = (built[0] / "handover/system/ip_config.tcl").read_text()
    assert f"set BOARD {BOARD}\nset FPGA_PART {PART}\n" in system
    assert "set FREQ_MHZ 100\n" in system
    assert system.count("xilinx_finn:finn:StreamingDataflowPartition_") == 3


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Programs that pose as the vendor's, and FINN's library of kernels."""
    programs, library = tmp_path / "amd" / "bin", tmp_path / "finn-hlslib"
    for folder in (programs, library):
        folder.mkdir(parents=True)
    (library / "bnn-library.h").write_text("")
    fake_amd.install(programs, "2023.2", {"boards": "avnet-tria:ultra96v2:part0:1.3"})
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("FINN_HLSLIB", str(library))
    return programs


@pytest.mark.slow
def test_with_the_vendor_s_tools_the_same_folder_goes_on(built, tools, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(built[0], own)
    assert build(own / "model.onnx", out=own, target="finn", samples=4).complete
    report = json.loads((own / "report.json").read_text())
    assert "Vivado, placed and routed" in {use["source"] for use in report["resources"]}
    names = {path.name for path in (own / "bitstream" / "overlay").iterdir()}
    assert {"accelerator.bit", "accelerator.hwh", "requirements.txt", "run_on_board.py"} <= names


@pytest.mark.slow
def test_continue_sh_runs_twice_and_leaves_the_hand_over_as_it_is(built, tools, tmp_path):
    folder = built[0] / "handover"
    before = digests(folder)
    for _ in range(2):
        result = go_on(folder, tmp_path / "out", tools)
        assert result.returncode == 0, result.stderr
    assert digests(folder) == before
    assert (tmp_path / "out" / "overlay" / "accelerator.bit").is_file()
    record = (tmp_path / "out" / "qfx_work" / "system" / "record.txt").read_text()
    assert '["set_property", "board_part", "avnet-tria:ultra96v2:part0:1.3"' in record


BROKEN = {
    "a memory is missing": (
        "units/QFXMVU_rtl_0/QFXMVU_rtl_0_weight.mem", None, None, "there is no file",
    ),
    "a wrong part": (
        "ip/StreamingDataflowPartition_1/make_project.tcl", PART, "xc7z020clg400-1",
        f"needs -part {PART}",
    ),
    "an unknown command": (
        "system/ip_config.tcl", "save_bd_design", "save_the_design", "invalid command name",
    ),
    "a connection twice": (
        "ip/StreamingDataflowPartition_1/make_project.tcl",
        "[get_bd_intf_pins StreamingDataflowPartition_1_QFXMVU_rtl_0/out0_V] [",
        "[get_bd_intf_pins StreamingDataflowPartition_1_QFXRequant_rtl_0/out0_V] [",
        "to be connected once|equal widths",
    ),
    "an unknown parameter": (
        "system/ip_config.tcl", "CONFIG.NUM_SI", "CONFIG.NUM_SLAVES", "not 'NUM_SLAVES'",
    ),
    "a path outside": (
        "system/ip_config.tcl", "$QFX_ROOT/units", "/home/me/units", "is not in the folder",
    ),
    "another width": (
        "units/StreamingFIFO_rtl_1/StreamingFIFO_rtl_1.v", "0] in0_V_TDATA",
        "0] in0_V_TDATA", "equal widths",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_hand_over_is_refused(name, built, tmp_path):
    folder = tmp_path / "handover"
    shutil.copytree(built[0] / "handover", folder)
    path, old, new, message = BROKEN[name]
    if old is None:
        (folder / path).unlink()
    else:
        text = (folder / path).read_text()
        assert old in text
        if name == "another width":
            text = text.replace("input  [", "input  [8+")
        (folder / path).write_text(text.replace(old, new))
    with pytest.raises(TargetError, match=message):
        check_folder(folder, PART, BOARD)


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bytes(built, tmp_path, seed):
    """Inside the conversion, and inside the folding; `benchmarks/kill_builds.py` kills the rest."""
    calm, out, steps = built[0], tmp_path / "out", ("import", "convert", "fold")
    command = ["qfx_plugin.cli", "build", str(calm / "model.onnx"), "--target", "finn"]
    command += ["--samples", "4", "--until", "fold", "-o"]
    kills = kill_in_each(command, out, draw_moments(calm, 2, seed, ["convert", "fold"]))
    assert [kill.step for kill in kills] == ["convert", "fold"]
    run_undisturbed(command, out)
    first, second = (Manifest.load(folder).steps for folder in (calm, out))
    for step in steps:
        assert digests(out / step) == digests(calm / step), step
        assert replace(second[step], seconds=0.0) == replace(first[step], seconds=0.0), step


def test_without_finn_the_target_says_what_to_install(tmp_path, monkeypatch):
    onnx.save(mlp(), tmp_path / "m.onnx")
    monkeypatch.setattr(adapter, "flavour", lambda: None)
    with pytest.raises(ToolMissingError, match=r"needs FINN.* pip install finn-plus=="):
        build(tmp_path / "m.onnx", out=tmp_path / "out", target="finn", samples=2, until="convert")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"finn": {"target_fps": 0}}, "target_fps must be"),
        ({"finn": {"frames": 1}}, "frames must be"),
        ({"finn": {"fps": 3}}, "fps"),
    ],
)
def test_options_are_checked(table, message):
    with pytest.raises(OptionError, match=message):
        BuildOptions.parse({"target": "finn", **table})


def test_ports_with_parameters_have_widths():
    text = """module m #(
      parameter W = 3,
      parameter B = (W+7)/8 * 8
    )(
      input ap_clk, // clock
      input  [B-1:0] in0_V_TDATA,
      output [X-1:0] out0_V_TDATA
    ); endmodule"""
    found = ports(text, "m")
    assert found["in0_V_TDATA"].width == 8
    assert (found["ap_clk"].flows, found["ap_clk"].width) == ("input", 1)
    assert found["out0_V_TDATA"].width == 0
    with pytest.raises(TargetError, match="module 'other' is in no file"):
        ports(text, "other")


def test_modules_that_are_nowhere_are_named(tmp_path):
    good = (
        "module low #(int A = 1) (input x); endmodule\n"
        "module top;\n  low #(.A(2)) u (.x(0));\nendmodule"
    )
    assert check_sources({tmp_path / "a.sv": good}) == 1
    with pytest.raises(TargetError, match=r"a\.sv names module 'lost', which is in no file"):
        check_sources({tmp_path / "a.sv": good.replace("low #(.A", "lost #(.A")})
    uses = {tmp_path / "b.sv": "module b; import p::*; assign y = std::ok; endmodule"}
    with pytest.raises(TargetError, match=r"b\.sv names package 'p', which is in no file"):
        check_sources(uses)
    assert check_sources(uses | {tmp_path / "p.sv": "package p;\nendpackage"}) == 2
