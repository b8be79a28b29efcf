"""The shell's hardware: lint, synthesis, layouts of every kind with pauses, registers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin import interpret
from qfx_plugin.driver import QfxAccelerator
from qfx_plugin.driver import registers as reg
from qfx_plugin.shell.simulated_board import SimulatedBoard
from qfx_plugin.shell.wrap import SV, Place, Shell, wrap
from qfx_plugin.tools import verilator, yosys
from tests.shell.through import through

LAYOUTS = {
    # name: (shape, width, signed, streaming, bus), positions of a beat, beats of a sample
    "several pixels in a beat": (((3, 5, 5), 7, True, True, 64), 2, 13),
    "a pixel in several beats": (((9, 2, 2), 12, True, True, 32), 1, 20),
    "a pixel fills a beat": (((4, 3, 2), 16, False, True, 64), 1, 6),
    "one vector": (((21,), 5, False, False, 64), 1, 3),
    "less than a beat": (((3,), 8, True, False, 128), 1, 1),
    "wide codes": (((3, 2, 2), 40, True, True, 128), 1, 8),
}
QUICK = ("several pixels in a beat",)
SLOW = ("a pixel in several beats", "one vector")


def made(name: str) -> tuple[object, Shell]:
    (shape, width, signed, streaming, bus), _, _ = LAYOUTS[name]
    network = through(shape, width, signed=signed, streaming=streaming)
    return network, wrap(network, bus_bits=bus)


def sources(folder: Path, network, shell: Shell) -> list[Path]:
    for file, text in {**network.files, **shell.files}.items():
        (folder / file).write_text(text)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("name", LAYOUTS)
def test_lint(name, tmp_path):
    network, shell = made(name)
    verilator.lint(sources(tmp_path, network, shell), shell.top, options=("-Wall",))


@pytest.mark.parametrize("name", LAYOUTS)
def test_beats(name):
    _, shell = made(name)
    layout, (_, fit, beats) = shell.description.input_layout, LAYOUTS[name]
    assert (layout.fit, layout.beats) == (fit, beats)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_every_code_comes_back(name, rng):
    """With pauses everywhere, in transfers of several sizes; two runs on one board."""
    network, shell = made(name)
    shape = network.graph.inputs[0].shape
    x = rng.integers(-300, 300, size=(23, *shape)) / 2
    expected = interpret(network.graph, x)["y"]
    for pauses, seed in ((0.4, 1), (0.0, 2)):
        board = SimulatedBoard.of(network, shell, pauses=pauses, seed=seed)
        with QfxAccelerator(board, shell.description, transfer_samples=8) as accelerator:
            np.testing.assert_array_equal(accelerator.run(x, codes=True), expected.codes)
            np.testing.assert_array_equal(accelerator.run(x[:1]), expected.values[:1])


def test_a_stream_without_pauses_takes_a_beat_in_every_cycle(rng):
    """The shell is no bottleneck: 13 beats of two pixels, a pixel in every cycle."""
    network, shell = made("several pixels in a beat")
    board = SimulatedBoard.of(network, shell, pauses=0.0)
    with QfxAccelerator(board, shell.description) as accelerator:
        run = accelerator.start(rng.normal(size=(40, 3, 5, 5)))
        run.wait()
    figures = run.figures
    assert 40 * 25 <= figures.cycles <= 40 * 25 + 10
    assert figures.latency_cycles <= 25 + 10
    assert figures.input_waits == 0 and figures.output_stalls == 0


def test_registers_have_the_addresses_that_the_driver_knows():
    text = (SV / "qfx_shell_registers.sv").read_text()
    found = dict(re.findall(r"AW'\('h(\w+)\): +read_data = ([^;]+);", text))
    names = {int(address, 16): value for address, value in found.items()}
    assert names == {
        reg.ID: "MAGIC", reg.SHELL_VERSION: "VERSION",
        reg.NETWORK_ID[0]: "NETWORK_ID[31:0]", reg.NETWORK_ID[1]: "NETWORK_ID[63:32]",
        reg.NETWORK_ID[2]: "NETWORK_ID[95:64]", reg.NETWORK_ID[3]: "NETWORK_ID[127:96]",
        reg.INPUT_FORMAT: "INPUT_FORMAT", reg.OUTPUT_FORMAT: "OUTPUT_FORMAT",
        reg.INPUT_BEATS: "INPUT_BEATS", reg.OUTPUT_BEATS: "OUTPUT_BEATS",
        reg.CLOCK_KHZ: "CLOCK_KHZ",
        reg.STATUS: "{28'd0, soft_reset, bad_length, done, running}",
        reg.FRAMES_IN: "frames_in", reg.FRAMES_OUT: "frames_out",
        reg.CYCLES_LOW: "cycles[31:0]", reg.CYCLES_HIGH: "cycles[63:32]",
        reg.LATENCY: "latency", reg.INPUT_WAITS: "input_waits",
        reg.INPUT_STALLS: "input_stalls", reg.OUTPUT_STALLS: "output_stalls",
    }  # fmt: skip
    constants = dict(re.findall(r"(CONTROL|FRAMES) = AW'\('h(\w+)\)", text))
    assert constants == {"CONTROL": f"{reg.CONTROL:x}", "FRAMES": f"{reg.FRAMES:x}"}
    assert f"MAGIC = 32'h{reg.MAGIC:08x}" in text and f"VERSION = 32'h{reg.VERSION:08x}" in text


@pytest.fixture
def board():
    network, shell = made("several pixels in a beat")
    board = SimulatedBoard.of(network, shell, pauses=0.5, seed=3)
    yield board
    board.close()


def test_registers_tell_what_is_built(board):
    read = board.accelerator.read
    assert read(reg.ID).to_bytes(4, "little") == b"QFX1"
    assert read(reg.INPUT_FORMAT) == reg.format_word(7, True, 8, 0) == 0x0008_0107
    assert (read(reg.INPUT_BEATS), read(reg.OUTPUT_BEATS)) == (13, 13)
    assert read(reg.CLOCK_KHZ) == round(1000 * Place().clock_mhz)
    assert read(0xFC) == 0  # no register


def test_frames_can_be_set_but_not_during_a_run(board):
    block = board.accelerator
    block.write(reg.FRAMES, 0x1234_5678)
    assert block.read(reg.FRAMES) == 0x1234_5678
    block.write(reg.CONTROL, reg.START)
    block.write(reg.FRAMES, 1)
    assert block.read(reg.FRAMES) == 0x1234_5678
    assert block.read(reg.STATUS) == reg.RUNNING


def test_a_run_of_no_frames_is_done_at_once(board):
    board.accelerator.write(reg.CONTROL, reg.START)
    assert board.accelerator.read(reg.STATUS) == reg.DONE


def test_soft_reset_ends_a_run_and_itself(board):
    block = board.accelerator
    block.write(reg.FRAMES, 3)
    block.write(reg.CONTROL, reg.START)
    block.write(reg.CONTROL, reg.SOFT_RESET)
    board.engine.run(40)
    assert block.read(reg.STATUS) == 0 and block.read(reg.FRAMES) == 3


def test_a_transfer_of_another_length_is_noticed(board):
    """TLAST one beat early: the flag that the driver's message mentions."""
    block = board.accelerator
    block.write(reg.FRAMES, 2)
    block.write(reg.CONTROL, reg.START)
    board.engine.receive(np.zeros(26 * 8, dtype=np.uint8))
    board.engine.send(np.zeros(25 * 8, dtype=np.uint8))
    board.engine.run(500)
    assert block.read(reg.STATUS) == reg.RUNNING | reg.BAD_LENGTH
    assert block.read(reg.FRAMES_IN) == 1


def test_input_waits_until_a_run_is_on(board):
    board.engine.send(np.zeros(13 * 8, dtype=np.uint8))
    board.engine.run(300)
    assert board.engine.unsent == 13 * 8


@pytest.mark.slow
def test_yosys_synthesises_it(tmp_path):
    """The whole accelerator; registers and counters are most of it, and nothing multiplies."""
    network, shell = made("several pixels in a beat")
    names = [path.name for path in sources(tmp_path, network, shell)]
    yosys.run(
        [
            f"read_slang --top {shell.top} {' '.join(names)}",
            "synth_xilinx -family xcup -noiopad -noclkbuf -flatten",
            "tee -o stat.json stat -json",
        ],
        tmp_path,
    )
    text = (tmp_path / "stat.json").read_text()
    cells = {kind: int(count) for kind, count in re.findall(r'"(\w+)": +(\d+)', text)}
    assert not any(kind.startswith("DSP") for kind in cells)
    lut = sum(count for kind, count in cells.items() if re.fullmatch(r"LUT\d", kind))
    assert 100 < lut < 1500
