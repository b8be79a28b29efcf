"""Target `hls4ml` from end to end: bits, hand-over, vendor's steps by stand-ins, the board."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from qfx_plugin.boards import load_board
from qfx_plugin.build import Manifest, build
from qfx_plugin.build.hls4ml.handover import check
from qfx_plugin.build.summary import summarize
from qfx_plugin.build.workspace import digests
from qfx_plugin.errors import OptionError, TargetError, ToolMissingError, VerificationError
from tests.build import fake_amd
from tests.qonnx_models import cnn, mlp

NO_TOOLS = "step synthesize needs Vitis HLS, which is missing: "


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
    }


def test_the_hand_over_is_complete(built):
    files = {name for name in digests(built / "handover") if "nnet_utils" not in name}
    top = Manifest.load(built).steps["shell"].facts["top"]
    assert {
        "README.md", "continue.sh", "checks.json", "vivado/block_design.tcl",
        "vivado/constraints.xdc", "hls/vitis_hls.tcl", f"hls/{top}.cpp", f"hls/{top}.h",
        "hls/testbench.cpp", "hls/input_beats.txt", "hls/expected_beats.txt",
        "overlay/accelerator.json", "overlay/run_on_board.py", "overlay/inputs.npy",
    } <= files  # fmt: skip
    assert not any("ap_types" in name or "standin" in name for name in files)


def test_nothing_that_is_compared_names_a_folder(built):
    for path in built.rglob("*"):
        if path.is_file() and "logs" not in path.parts and path.name != "report.html":
            assert str(built).encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_a_wrong_code_is_found(built):
    """The test bench that the hand-over ships can fail: one bit in one expected beat."""
    from qfx_plugin.build.hls4ml.shell import _simulate
    from qfx_plugin.build.steps import StepContext

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
    with pytest.raises(VerificationError) as error:
        _simulate(context, record["project"], f"{record['project']}_axi")
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
    assert names == sorted([f"{top}.bit", f"{top}.hwh", "accelerator.json", "expected.npy",
                            "inputs.npy", "run_on_board.py"])  # fmt: skip


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
    assert len(list(overlay.iterdir())) == 6


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

    assert len(run()) == 6
    for name, message in (
        ("hls/firmware/weights/w2.txt", "reads weights 'w2.txt', which are not handed over"),
        ("hls/firmware/defines.h", "includes 'defines.h', which is not handed over"),
        ("hls/testbench.cpp", "add_files: there is no file"),
        ("vivado/constraints.xdc", "add_files: there is no file"),
        ("overlay/expected.npy", "expected.npy"),
    ):
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(TargetError) as error:
            run()
        assert message in str(error.value)
        path.write_bytes(content)
    assert len(run()) == 6


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
    assert report.proven and len(report.agreement) == 2


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bytes(model, built, tmp_path, seed):
    """`qfx build` itself, killed at three random points."""
    import random

    from tests.build.test_kill import compared, kill_after_steps, run_undisturbed, start

    out = tmp_path / "out"
    command = ["qfx_plugin.cli", "build", str(model), "--samples", "100", "-o"]
    moments = random.Random(seed)
    kills = sum(
        kill_after_steps(start(command, out), out, moments.uniform(0.1, 4)) for _ in range(3)
    )
    assert kills >= 1
    run_undisturbed(command, out)
    assert compared(out) == compared(built)


BRIDGE = """
#include "{top}.h"
using namespace qfx;
// Bytes of whole transfers, as the DMA would carry them.
extern "C" void run(const unsigned char *in, unsigned char *out, unsigned samples) {{
    const int size = beat_bits / 8;
    const unsigned given = divide_up(input_size, beat_bits / input_bits) * samples;
    hls::stream<beat_t<beat_bits>> a("a"), b("b");
    for (unsigned i = 0; i < given; i++) {{
        ap_uint<beat_bits> data = 0;
        for (int k = 0; k < size; k++) data.range(8 * k + 7, 8 * k) = in[i * size + k];
        a.write(make_beat<beat_bits>(data, i + 1 == given));
    }}
    {top}(a, b, samples);
    for (unsigned i = 0; !b.empty(); i++) {{
        ap_uint<beat_bits> data = b.read().data;
        for (int k = 0; k < size; k++)
            out[i * size + k] = ap_uint<8>(data.range(8 * k + 7, 8 * k)).to_uint();
    }}
}}
"""

PYNQ = """
import ctypes, numpy as np
LIBRARY = ctypes.CDLL({library!r})

class Buffer(np.ndarray):
    def flush(self): self.flushed = True
    def invalidate(self): self.invalidated = True

def allocate(shape, dtype):
    return np.zeros(shape, dtype).view(Buffer)

class Accelerator:
    def __init__(self): self.registers = {{0: 4, 16: 0}}
    def write(self, address, value):
        self.registers[address] = value
        if address == 0: self.registers[0] = 0
    def read(self, address): return self.registers[address]

class Channel:
    def __init__(self, dma): self.dma, self.buffer = dma, None
    def transfer(self, buffer): self.buffer = buffer
    def wait(self): self.dma.run()

class Dma:
    def __init__(self, accelerator):
        self.accelerator, self.done = accelerator, False
        self.sendchannel, self.recvchannel = Channel(self), Channel(self)
    def run(self):
        if self.done: return
        assert self.accelerator.registers[0] == 0, "not started"
        assert self.sendchannel.buffer.flushed
        given = np.ascontiguousarray(self.sendchannel.buffer)
        sink = self.recvchannel.buffer
        LIBRARY.run(ctypes.c_void_p(given.ctypes.data), ctypes.c_void_p(sink.ctypes.data),
                    self.accelerator.registers[16])
        self.accelerator.registers[0], self.done = 6, True

class Overlay:
    def __init__(self, path):
        assert path.endswith("_axi.bit")
        self.accelerator = Accelerator()
        self.dma = Dma(self.accelerator)
"""


def make_board(out: Path, folder: Path) -> None:
    """A module `pynq` that carries bytes to the compiled accelerator."""
    from qfx_plugin.tools import compiler

    project = Manifest.load(out).steps["convert"].facts["project"]
    shell, source = out / "shell", folder / "bridge.cpp"
    source.write_text(BRIDGE.format(top=f"{project}_axi"))
    firmware = shell / "firmware"
    library = compiler.compile_shared(
        [source, shell / f"{project}_axi.cpp", firmware / f"{project}.cpp"],
        folder / "board.so",
        include_dirs=[shell, firmware, firmware / "ap_types", shell / "standin"],
        defines={"WEIGHTS_DIR": f'"{firmware / "weights"}"'},
        flags=("-O1", "-std=c++14"),
    )
    (folder / "pynq.py").write_text(PYNQ.format(library=str(library)))


def run_on_board(out: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`run_on_board.py` of a hand-over."""
    return subprocess.run(
        [sys.executable, out / "handover" / "overlay" / "run_on_board.py"],
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_board_script(own, tmp_path):
    make_board(own, tmp_path)
    result = run_on_board(own, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "64 samples, 0 of 640 codes differ" in result.stdout
    expected = own / "handover" / "overlay" / "expected.npy"
    codes = np.load(expected)
    codes[2, 3] += 1
    np.save(expected, codes)
    result = run_on_board(own, tmp_path)
    assert result.returncode == 1 and "1 of 640 codes differ" in result.stdout


@pytest.mark.slow
def test_streams_and_the_board_script_on_a_convolution(tmp_path):
    onnx.save(cnn(), tmp_path / "m.onnx")
    options = {"io_type": "io_stream", "samples": 20, "board": "pynq-z2"}
    build(tmp_path / "m.onnx", out=tmp_path / "out", **options)
    make_board(tmp_path / "out", tmp_path)
    result = run_on_board(tmp_path / "out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "20 samples, 0 of 200 codes differ" in result.stdout


def test_accelerator_json_says_what_a_driver_needs(built):
    facts = json.loads((built / "handover" / "overlay" / "accelerator.json").read_text())
    assert facts["registers"] == {"control": 0, "samples": 16}
    assert facts["input"]["beats_per_sample"] == 2 and facts["output"]["beats_per_sample"] == 5
    assert facts["input"]["type"] == "ap_fixed<8,2,AP_RND_CONV,AP_SAT>"
