"""Target `hls4ml` from end to end: bits, hand-over, vendor's steps by stand-ins, the board."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from qfx_plugin.boards import load_board
from qfx_plugin.build import Manifest, build
from qfx_plugin.build.board_values import accelerator_address, dma_address
from qfx_plugin.build.flow import find_target
from qfx_plugin.build.summary import summarize
from qfx_plugin.build.targets.hls4ml.handover import check
from qfx_plugin.build.workspace import digests
from qfx_plugin.driver import Description
from qfx_plugin.errors import OptionError, TargetError, ToolMissingError, VerificationError
from tests.build import fake_amd
from tests.build.fake_pynq import run_on_board
from tests.build.kills import compared, draw_moments, kill_in_each, run_undisturbed
from tests.qonnx_models import cnn, mlp

NO_TOOLS = "step synthesise needs Vitis HLS, which is missing: "


@pytest.fixture(scope="module", autouse=True)
def no_vendor_tools():
    patch = pytest.MonkeyPatch()
    for name in ("XILINX_VIVADO", "XILINX_HLS", "XILINX_VITIS"):
        patch.delenv(name, raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "mlp.onnx"
    onnx.save(mlp(), path)
    return path


@pytest.fixture(scope="module")
def built(model, tmp_path_factory) -> Path:
    """A hand-over for the Ultra96-V2; tests only read it."""
    out = tmp_path_factory.mktemp("built")
    result = build(model, out=out, samples=100)
    assert result.missing.startswith(NO_TOOLS) and "bitstream needs Vivado" in result.missing
    assert [step.status for step in result.steps] == ["done"] * 6 + ["waiting"] * 2
    return out


def test_every_code_is_compared(built):
    report = summarize(built)
    assert report.proven
    assert {e.executor: (e.samples, e.compared) for e in report.agreement} == {
        "hls4ml C simulation": (100, 1000),
        "hls4ml through AXI-Stream": (64, 640),
        "driver and AXI-Stream top, C++": (64, 640),
    }


def test_the_hand_over_is_complete(built):
    files = {name for name in digests(built / "handover") if "nnet_utils" not in name}
    top = Manifest.load(built).steps["shell"].facts["top"]
    assert {
        "README.md", "continue.sh", "checks.json", "vivado/block_design.tcl",
        "vivado/constraints.xdc", "hls/vitis_hls.tcl", f"hls/{top}.cpp", f"hls/{top}.h",
        "hls/testbench.cpp", "hls/input_beats.txt", "hls/expected_beats.txt",
        "overlay/accelerator.json", "overlay/run_on_board.py", "overlay/inputs.npy",
        "overlay/expected_0.npy", "overlay/qfx_driver/accelerator.py",
        "overlay/brevitas_quantizers/fixed_point/quantize.py",
    } <= files  # fmt: skip
    assert not any("ap_types" in name or "standin" in name for name in files)


def test_nothing_that_is_compared_names_a_folder(built):
    for path in built.rglob("*"):
        if path.is_file() and "logs" not in path.parts and path.name != "report.html":
            assert str(built).encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_a_wrong_code_is_found(built):
    """The test bench that the hand-over ships can fail: one bit in one expected beat."""
    from qfx_plugin.build.steps import StepContext
    from qfx_plugin.build.targets.hls4ml.shell import _compile, _simulate

    scratch = built.parent / "wrong"
    subprocess.run(["cp", "-r", built / "shell", scratch], check=True)
    path = scratch / "expected_beats.txt"
    lines = path.read_text().splitlines()
    lines[3] = f"{int(lines[3], 16) ^ 1:016x}"
    path.write_text("\n".join(lines) + "\n")
    work = built.parent / "work"
    work.mkdir()
    record = Manifest.load(built).steps["convert"].facts
    context = StepContext(
        model=built / "model.onnx", board=None, options=None, folder=scratch, scratch=work,
        inputs={}, known={}, log=None,
    )  # fmt: skip
    top = f"{record['project']}_axi"
    objects = _compile(context, record["project"], top)
    with pytest.raises(VerificationError) as error:
        _simulate(context, objects, top)
    assert "first difference: beat 3; 64 samples, 1 of 320 beats differ" in str(error.value)


def test_asked_for_the_bitstream(model, built):
    with pytest.raises(ToolMissingError) as error:
        build(model, out=built, samples=100, until="bitstream")
    assert str(error.value).startswith(NO_TOOLS)
    assert "step bitstream needs Vivado, which is missing: install AMD Vivado" in str(error.value)
    assert str(error.value).endswith(f"everything up to there is ready in {built / 'handover'}")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    fake_amd.install(folder)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


@pytest.fixture
def own(built, tmp_path) -> Path:
    """A copy of the hand-over's build that a test may change."""
    subprocess.run(["cp", "-r", built, tmp_path / "own"], check=True)
    return tmp_path / "own"


def test_with_the_vendor_tools_the_same_folder_goes_on(model, own, tools):
    result = build(model, out=own, samples=100)
    assert result.complete
    assert [step.status for step in result.steps] == ["reused"] * 6 + ["done"] * 2
    report = summarize(own)
    uses = {use.source: use.used for use in report.resources}
    assert uses["Vivado, placed and routed"] == {
        "lut": 14657, "ff": 12149, "carry": 913, "bram36": 26.5, "dsp": 158,
    }  # fmt: skip
    top = Manifest.load(own).steps["shell"].facts["top"]
    names = sorted(path.name for path in (own / "bitstream" / "overlay").iterdir())
    assert names == sorted([f"{top}.bit", f"{top}.hwh", "accelerator.json", "expected_0.npy",
                            "inputs.npy", "run_on_board.py", "qfx_driver",
                            "brevitas_quantizers"])  # fmt: skip


def test_a_failing_vendor_tool_is_told_and_resumed(model, own, tools):
    fake_amd.install(tools, vivado="ERROR: [Route 35-54] Net is not completely routed.")
    with pytest.raises(TargetError, match=r"Vivado fails on block_design.tcl: ERROR: \[Route 35"):
        build(model, out=own, samples=100)
    assert not (own / "bitstream").exists()
    assert "Route 35-54" in Manifest.load(own).failed["message"]
    fake_amd.install(tools)
    statuses = [step.status for step in build(model, out=own, samples=100).steps]
    assert statuses == ["reused"] * 7 + ["done"]


def test_continue_sh_needs_nothing_of_ours(built, tools, tmp_path):
    script = built / "handover" / "continue.sh"
    command = ["bash", script, str(tmp_path / "o")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    overlay = tmp_path / "o" / "vivado" / "overlay"
    assert result.stdout.splitlines()[-1] == f"continue.sh: the overlay is in {overlay}"
    assert len(list(overlay.iterdir())) == 8


def test_continue_sh_without_the_tools(built, tmp_path):
    command = ["bash", built / "handover" / "continue.sh", str(tmp_path / "o")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 3
    assert "continue.sh: vitis_hls was not found: source settings64.sh" in result.stderr


def test_checks_can_fail(built, tmp_path):
    facts = Manifest.load(built).steps["shell"].facts
    folder = tmp_path / "handover"
    subprocess.run(["cp", "-r", built / "handover", folder], check=True)

    count = iter(range(100))

    def run():
        scratch = tmp_path / f"scratch{next(count)}"
        return check(folder, load_board("ultra96-v2"), 100.0, facts["top"], scratch)

    assert len(run()) == 7
    for name, message in (
        ("hls/firmware/weights/w2.txt", "reads weights 'w2.txt', which are not handed over"),
        ("hls/firmware/defines.h", "includes 'defines.h', which is not handed over"),
        ("hls/testbench.cpp", "add_files: there is no file"),
        ("vivado/constraints.xdc", "add_files: there is no file"),
        ("overlay/expected_0.npy", "expected_0.npy"),
        ("overlay/qfx_driver/control.py", "the driver cannot be imported"),
    ):
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(TargetError) as error:
            run()
        assert message in str(error.value)
        path.write_bytes(content)
    assert len(run()) == 7


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"board": "pynq-z2", "axis_width": 128}, OptionError,
         "axis_width must be at most 64 on board pynq-z2 (S_AXI_HP0), not 128"),
        ({"axis_width": 48}, OptionError,
         "options: hls4ml: axis_width must be one of 32, 64, 128, not 48"),
        ({"io_type": "io_serial"}, OptionError, "options: hls4ml: io_type must be one of "),
        ({"clock_mhz": 5.0}, OptionError,
         "clock_mhz of board ultra96-v2 must be 10 to 300 MHz, not 5"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(options, error, message, model, tmp_path):
    with pytest.raises(error) as caught:
        build(model, out=tmp_path / "out", samples=2, **options)
    assert str(caught.value).startswith(message)


VARIANTS = [
    (cnn, {"io_type": "io_stream", "interface": "float", "axis_width": 32}),
    (mlp, {"interface": "float", "board": "pynq-z2"}),
    (lambda: mlp(k=1), {"strategy": "khot", "reuse_factor": 4, "axis_width": 128}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("network", "options"), VARIANTS)
def test_variants(network, options, tmp_path):
    onnx.save(network(), tmp_path / "m.onnx")
    build(tmp_path / "m.onnx", out=tmp_path / "out", samples=50, **options)
    report = summarize(tmp_path / "out")
    assert report.proven and len(report.agreement) == 3


@pytest.mark.slow
def test_killed_in_three_steps_and_resumed_gives_the_same_bytes(model, built, tmp_path, seed):
    """`qfx build` itself, killed while it converts, while it simulates, and inside the shell."""
    out = tmp_path / "out"
    command = ["qfx_plugin.cli", "build", str(model), "--samples", "100", "-o"]
    moments = draw_moments(built, 3, seed, ["convert", "simulate", "shell"])
    kills = kill_in_each(command, out, moments)
    assert [kill.step for kill in kills] == ["convert", "simulate", "shell"]
    run_undisturbed(command, out)
    assert compared(out) == compared(built)
    assert not list(out.glob(".partial*")) and not (out / ".scratch").exists()


def run_overlay(out: Path, folder: Path):
    """`run_on_board.py` of a hand-over, with the compiled accelerator behind a DMA's registers."""
    top = Manifest.load(out).steps["shell"].facts["top"]
    return run_on_board(
        out / "handover" / "overlay", top, folder, "qfx_plugin.shell.simulated_hls",
        "SimulatedHls", f"from_build({str(out)!r})",
    )  # fmt: skip


@pytest.mark.slow
def test_the_board_script(own, tmp_path):
    result = run_overlay(own, tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "64 samples, 0 of 640 codes differ"
    assert lines[1].startswith("9600 samples in") and lines[2].endswith("counts no cycles")
    expected = own / "handover" / "overlay" / "expected_0.npy"
    codes = np.load(expected)
    codes[2, 3] += 1
    np.save(expected, codes)
    result = run_overlay(own, tmp_path)
    assert result.returncode == 1 and "1 of 640 codes differ" in result.stdout


@pytest.mark.slow
def test_streams_and_the_board_script_on_a_convolution(tmp_path):
    onnx.save(cnn(), tmp_path / "m.onnx")
    options = {"io_type": "io_stream", "samples": 20, "board": "pynq-z2"}
    build(tmp_path / "m.onnx", out=tmp_path / "out", **options)
    result = run_overlay(tmp_path / "out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("20 samples, 0 of 200 codes differ")


def test_the_description_is_of_this_board(built):
    description = Description.load(built / "handover" / "overlay" / "accelerator.json")
    board = load_board("ultra96-v2")
    assert (description.control, description.board) == ("hls", "ultra96-v2")
    assert description.accelerator_address == accelerator_address(board)
    assert description.dma_address == dma_address(board)
    assert (description.input_layout.beats, description.output_layout.beats) == (2, 5)
    assert str(description.inputs[0].cast[0]) == "ap_fixed<8,2,AP_RND_CONV,AP_SAT>"


def test_steps_have_one_name_in_every_target_and_two_spellings():
    for name in ("hls4ml", "rtl"):
        target = find_target(name)
        assert target.position("synthesize") == target.position("synthesise")
    with pytest.raises(OptionError, match=r"not 'synthesis' \(did you mean synthesise\?\)$"):
        target.position("synthesis")
