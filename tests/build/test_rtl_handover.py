"""Target `rtl` up to the board: shell, hand-over and its checks, Vivado by a stand-in, kills."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from qfx_plugin.boards import load_board
from qfx_plugin.build import build
from qfx_plugin.build.board_values import accelerator_address, dma_address
from qfx_plugin.build.summary import summarize
from qfx_plugin.build.targets.rtl.check import check
from qfx_plugin.build.workspace import digests
from qfx_plugin.driver import Description, QfxAccelerator
from qfx_plugin.errors import OptionError, TargetError, ToolMissingError
from qfx_plugin.shell.simulated_board import SimulatedBoard
from tests.build import fake_amd
from tests.build.fake_pynq import run_on_board
from tests.build.kills import compared, draw_moments, kill_in_each, run_undisturbed
from tests.qonnx_models import mlp

TOP = "model_axi"


@pytest.fixture(scope="module", autouse=True)
def no_vivado():
    patch = pytest.MonkeyPatch()
    patch.delenv("XILINX_VIVADO", raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "mlp.onnx"
    onnx.save(mlp((6, 4, 3), bit_width=4), path)
    return path


def make(model: Path, out: Path, **options):
    return build(model, out=out, target="rtl", samples=40, **options)


@pytest.fixture(scope="module")
def built(model, tmp_path_factory) -> Path:
    """A hand-over for the Ultra96-V2; tests only read it."""
    out = tmp_path_factory.mktemp("built")
    result = make(model, out)
    assert result.missing.startswith("step bitstream needs Vivado, which is missing: ")
    assert result.command == f"bash {out / 'handover' / 'continue.sh'}"
    return out


@pytest.fixture
def own(built, tmp_path) -> Path:
    """A copy of the build that a test may change."""
    subprocess.run(["cp", "-r", built, tmp_path / "own"], check=True)
    return tmp_path / "own"


def test_every_code_goes_through_the_driver(built):
    report = summarize(built)
    assert report.proven
    entries = {e.executor: (e.samples, e.compared) for e in report.agreement}
    assert entries["driver and AXI shell, simulated"] == (40, 240)
    (pace,) = [entry for entry in report.timing if entry["source"].startswith("RTL simulation")]
    assert pace["interval_cycles"] == 1 and pace["most_samples_per_second"] == 100e6
    assert 5 <= pace["latency_cycles"] <= 12
    assert report.missing[0].startswith("step bitstream needs Vivado, which is missing: ")
    assert report.missing[1:] == (
        "to go on where that is installed, from this folder: bash handover/continue.sh",
    )


def test_the_hand_over_is_complete(built):
    files = set(digests(built / "handover"))
    assert {
        "README.md", "continue.sh", "checks.json", "vivado/block_design.tcl",
        "vivado/constraints.xdc", f"shell/{TOP}.v", "shell/qfx_shell.sv", "shell/model_core.sv",
        "rtl/model.v", "overlay/accelerator.json", "overlay/run_on_board.py",
        "overlay/inputs.npy", "overlay/expected_0.npy", "overlay/qfx_driver/accelerator.py",
        "overlay/brevitas_quantizers/fixed_point/quantize.py",
    } <= files  # fmt: skip
    assert len(json.loads((built / "handover" / "checks.json").read_text())["checks"]) == 6


def test_nothing_that_is_compared_names_a_folder(built):
    for path in built.rglob("*"):
        if path.is_file() and "logs" not in path.parts and path.name != "report.html":
            assert str(built).encode() not in path.read_bytes(), path


def test_the_description_is_of_this_board(built):
    description = Description.load(built / "handover" / "overlay" / "accelerator.json")
    board = load_board("ultra96-v2")
    assert description.board == "ultra96-v2" and description.clock_mhz == 100.0
    assert description.accelerator_address == accelerator_address(board) == 0xA001_0000
    assert description.dma_address == dma_address(board) == 0xA000_0000


def test_the_hand_over_runs_on_the_simulated_board(built):
    """What is handed over, not what lies beside it."""
    board, description = SimulatedBoard.from_handover(built / "handover", pauses=0.3, seed=9)
    overlay = built / "handover" / "overlay"
    with QfxAccelerator(board, description) as accelerator:
        codes = accelerator.run(np.load(overlay / "inputs.npy"), codes=True)
    np.testing.assert_array_equal(codes, np.load(overlay / "expected_0.npy"))


@pytest.mark.slow
def test_another_board_does_the_last_steps_again(model, own):
    result = make(model, own, board="pynq-z2")
    statuses = {step.name: step.status for step in result.steps}
    assert statuses["import"] == "reused" and statuses["handover"] == "done"
    script = (own / "handover" / "vivado" / "block_design.tcl").read_text()
    assert "xc7z020clg400-1" in script and "processing_system7" in script
    assert "-offset 0x40010000" in script


def test_asked_for_the_bitstream(model, built):
    with pytest.raises(ToolMissingError) as error:
        make(model, built, until="bitstream")
    assert str(error.value).startswith("step bitstream needs Vivado, which is missing: ")
    assert str(error.value).endswith(f"everything up to there is ready in {built / 'handover'}")


def test_streams_wider_than_the_memory_port(model, tmp_path):
    with pytest.raises(OptionError) as error:
        make(model, tmp_path, board="pynq-z2", axis_width=128)
    assert str(error.value) == (
        "axis_width must be at most 64 on board pynq-z2 (S_AXI_HP0), not 128"
    )


@pytest.fixture
def tools(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    fake_amd.install(folder)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def test_with_vivado_the_same_folder_goes_on(model, own, tools):
    result = make(model, own)
    assert result.complete
    assert [step.status for step in result.steps] == ["reused"] * 6 + ["done"]
    report = summarize(own)
    uses = {use.source: use.used for use in report.resources}
    assert uses["Vivado, placed and routed"]["lut"] == 14657
    assert uses["Vivado, placed and routed: the accelerator alone"]["lut"] == 9120
    assert "clock: the processor gives 99.999 MHz for 100 MHz asked" in report.checks
    names = {path.name for path in (own / "bitstream" / "overlay").iterdir()}
    assert {f"{TOP}.bit", f"{TOP}.hwh", "accelerator.json", "qfx_driver"} <= names


def test_a_failing_vivado_is_told_and_resumed(model, own, tools):
    fake_amd.install(tools, vivado="ERROR: [Place 30-487] The packing of instances failed.")
    with pytest.raises(TargetError, match=r"Vivado fails on block_design.tcl: ERROR: \[Place 30"):
        make(model, own)
    assert not (own / "bitstream").exists()
    fake_amd.install(tools)
    assert [step.status for step in make(model, own).steps] == ["reused"] * 6 + ["done"]


def test_continue_sh_needs_nothing_of_ours(built, tools, tmp_path):
    command = ["bash", built / "handover" / "continue.sh", str(tmp_path / "o")]
    for _ in range(2):  # again into the same folder
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
    overlay = tmp_path / "o" / "overlay"
    assert result.stdout.splitlines()[-1] == f"continue.sh: the overlay is in {overlay}"
    assert (overlay / "qfx_driver" / "accelerator.py").is_file()


def test_continue_sh_without_vivado(built, tmp_path):
    command = ["bash", built / "handover" / "continue.sh", str(tmp_path / "o")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 3
    assert "continue.sh: vivado was not found: source settings64.sh" in result.stderr


CHANGES = [
    ("shell/qfx_shell_lite.sv", None, None, "add_files: there is no file"),
    ("rtl/extra.sv", "", "// new\n", "extra.sv is not added to the project"),
    ("rtl/model.v", "endmodule", "initial $readmemh(\"w.mem\", x);\nendmodule",
     "model.v: reads 'w.mem', which is not handed over"),
    ("shell/model_core.sv", "model network", "mod network", "Verilator rejects module 'model_axi'"),
    ("vivado/block_design.tcl", "-reference model_axi", "-reference other_axi",
     "block design: must use module model_axi, not other_axi"),
    ("vivado/block_design.tcl", "accelerator/s_axis\n", "accelerator/s_axi\n",
     "needs accelerator/s_axi to be a slave for master stream, not slave axi"),
    ("vivado/block_design.tcl", "-offset 0xA0010000", "-offset 0xA0020000",
     "addresses of DMA and accelerator must be the same"),
    ("vivado/block_design.tcl", "c_m_axi_s2mm_data_width 64", "c_m_axi_s2mm_data_width 32",
     "c_m_axi_s2mm_data_width must be 64 like the accelerator's streams, not 32"),
    ("vivado/block_design.tcl", "c_sg_length_width 26", "c_sg_length_width 14",
     "c_sg_length_width must be 26 as in accelerator.json, not 14"),
    ("vivado/constraints.xdc", None, None, "add_files: there is no file"),
    ("overlay/qfx_driver/layout.py", None, None, "the driver cannot be imported: "),
    ("overlay/qfx_driver/power.py", "from pathlib", "import packaging\nfrom pathlib",
     "overlay: the driver needs packaging"),
    ("overlay/run_on_board.py", None, None, "run_on_board.py"),
    ("continue.sh", "fi\n", "\n", "continue.sh does not parse"),
]  # fmt: skip


def test_checks_can_fail(built, tmp_path):
    folder = tmp_path / "handover"
    subprocess.run(["cp", "-r", built / "handover", folder], check=True)
    count = iter(range(100))

    def run():
        return check(folder, load_board("ultra96-v2"), tmp_path / f"scratch{next(count)}")

    for name, old, new, message in CHANGES:
        path = folder / name
        content = path.read_bytes() if path.exists() else None
        if old is None:
            path.unlink()
        else:
            text = content.decode() if content else ""
            assert old in text
            path.write_text(text.replace(old, new) if old else new)
        found = "nothing"
        try:
            run()
        except TargetError as error:
            found = str(error)
        assert message in found, (name, new)
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
    assert len(run()) == 6


def test_the_board_script(own, tmp_path):
    """`run_on_board.py` with the driver that is handed over; a module poses as PYNQ."""
    overlay = own / "handover" / "overlay"

    def run(fail=""):
        return run_on_board(
            overlay, TOP, tmp_path, "qfx_plugin.shell.simulated_board", "SimulatedBoard",
            f"from_handover({str(own / 'handover')!r}, pauses=0.3)", fail,
        )  # fmt: skip

    result = run("fpga_manager is busy")
    assert result.returncode == 2  # not 1, which says that codes differ
    assert result.stderr == (
        "run_on_board.py: PYNQ cannot load the overlay: OSError: fpga_manager is busy\n"
    )
    result = run()
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "40 samples, 0 of 120 codes differ"
    assert lines[1] == "6000 samples in 3 transfers" and "samples/s in the logic" in lines[2]
    assert lines[-1].startswith("power: this board measures no power: PYNQ knows no rails")
    codes = np.load(overlay / "expected_0.npy")
    codes[7, 1] ^= 1
    np.save(overlay / "expected_0.npy", codes)
    result = run()
    assert result.returncode == 1 and "1 of 120 codes differ" in result.stdout


@pytest.mark.slow
def test_killed_in_three_steps_and_resumed_gives_the_same_bytes(model, tmp_path, seed):
    """The compiler's cache is empty at the start of the build that is killed."""
    command = ["qfx_plugin.cli", "build", str(model), "--target", "rtl", "--samples", "40", "-o"]
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "killed"
    run_undisturbed(command, undisturbed)
    moments = draw_moments(undisturbed, 3, seed)
    kills = kill_in_each(command, out, moments, QFX_CACHE=str(tmp_path / "cache"))
    assert [kill.step for kill in kills] == list(moments)
    run_undisturbed(command, out)
    assert compared(out) == compared(undisturbed)
    assert not list(out.glob(".partial*")) and not (out / ".scratch").exists()
