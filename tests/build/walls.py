"""The walls of a first run, looked at from outside: of any folder that a build has handed over.

    python -m tests.build.walls FOLDER...      also of another version's build

Each is met by stand-ins for Vivado, Vitis HLS and PYNQ that know its rule; no code of QFX is asked.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.build import fake_amd
from tests.build.handovers import go_on

WORLD = {"preset": "CONFIG.PSU__OVERRIDE__BASIC_CLOCK 1"}
"""What Avnet's preset sets: dividers that a frequency asked for does not change."""

NEWEST = {
    "xczu3eg-sbva484-1-i": "avnet-tria:ultra96v2:part0:1.3",
    "xc7z020clg400-1": "tul.com.tw:pynq-z2:part0:1.1",
}
"""Boards of an installation of today, by part."""

OLDER = {
    "xczu3eg-sbva484-1-i": "avnet.com:ultra96v2:part0:1.2",
    "xc7z020clg400-1": "tul.com.tw:pynq-z2:part0:1.0",
}

PYNQ = """\
import os, sys
from pathlib import Path
KEPT = {"KEPT"}
class PL:
    reset = staticmethod(KEPT.clear)
class Clocks:
    fclk0_mhz = 100.0
class Overlay:
    def __init__(self, path, *rest, **options):
        xrt = os.environ.get("XILINX_XRT", "none")
        known = Path(path).resolve().parent == Path(__file__).parent / "overlay" and KEPT
        print(f"XRT: {xrt}; metadata: {'of the design before' if known else 'its own'}", flush=True)
        raise RuntimeError("No Devices Found" if xrt == "none" else "enough seen")
allocate = MMIO = None
"""
"""PYNQ 3.0: without XRT no device; what it knew of a path it keeps until `PL.reset`."""

FINN_DRIVER = "from pynq import Overlay as FINNDMAOverlay\n"


class World:
    """A copy of a hand-over, and programs that pose as AMD's.

    Args:
        folder: of the hand-over.
        scratch: empty.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder, self.scratch = scratch / "handover", scratch
        shutil.copytree(folder, self.folder)
        self.target = "finn" if (folder / "system").is_dir() else (
            "hls4ml" if (folder / "hls").is_dir() else "rtl")  # fmt: skip
        script = "system/ip_config.tcl" if self.target == "finn" else "vivado/block_design.tcl"
        self.text = (folder / script).read_text(encoding="utf-8")
        self.part = next(part for part in NEWEST if part in self.text)
        self.overlay = self.out / "overlay"
        if self.target == "hls4ml":
            self.overlay = self.out / "vivado" / "overlay"
        (scratch / "hlslib").mkdir()

    @property
    def boards(self) -> str:
        """All that are installed, for whoever does not ask which."""
        return f"{OLDER[self.part]} {NEWEST[self.part]}"

    @property
    def out(self) -> Path:
        """Where `continue.sh` puts everything; once, FINN's did so in the hand-over itself."""
        return self.folder if self.target == "finn" else self.scratch / "out"

    def go_on(self, version: str = "2023.2", **world: str) -> subprocess.CompletedProcess[str]:
        """Run `continue.sh`."""
        programs = self.scratch / "amd" / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        boards = {"boards": self.boards}
        fake_amd.install(programs, version, WORLD | boards | world)
        return go_on(self.folder, self.out, programs, FINN_HLSLIB=str(self.scratch / "hlslib"))

    def scripts_run(self) -> list[Path]:
        """Where a program of AMD's has run a script."""
        return sorted(self.scratch.rglob("record.txt"))

    def on_the_board(self) -> subprocess.CompletedProcess[str]:
        """`run_on_board.py` as plain `sudo` would start it."""
        (self.scratch / "pynq.py").write_text(PYNQ)
        drivers = self.scratch / "finn_plus_driver" / "overlays"
        drivers.mkdir(parents=True, exist_ok=True)
        (drivers / "dma.py").write_text(FINN_DRIVER)
        source = self.folder / ("driver" if self.target == "finn" else "overlay")
        place = self.scratch / "overlay"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(source, place)
        (top,) = re.findall(r'"?(\w+)\.bit"', (place / "run_on_board.py").read_text())
        for kind in ("bit", "hwh"):
            (place / f"{top}.{kind}").write_bytes(b"")
        kept = {key: value for key, value in os.environ.items() if key != "XILINX_XRT"}
        return subprocess.run(
            [sys.executable, place / "run_on_board.py"],
            env=kept | {"PYTHONPATH": str(self.scratch)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def wall_1_board_part(world: World) -> None:
    """The newest board that is installed is taken, of whatever maker."""
    result = world.go_on(boards=NEWEST[world.part])
    assert result.returncode == 0, f"only {NEWEST[world.part]} is there: {_last(result)}"
    taken = {
        call[2] for path in world.scripts_run() for line in path.read_text().splitlines()
        if (call := json.loads(line))[:2] == ["set_property", "board_part"]
    }  # fmt: skip
    assert taken == {NEWEST[world.part]}, f"boards are {taken}"
    text = "".join(path.read_text() for path in world.folder.rglob("*.tcl"))
    assert "$QFX_ROOT$QFX_ROOT" not in text, "a path of board files stands twice in itself"


def wall_1_no_board_files(world: World) -> None:
    """It is told before anything else runs, and with the place they come from."""
    result = world.go_on(boards="")
    assert result.returncode != 0, "it goes on without any board"
    assert len(world.scripts_run()) == 1, f"{len(world.scripts_run())} scripts have run before"
    places = (
        ("1.3 at its head", "2d49cfc25766f07792c0b314489f21fe916b639b") if "xczu" in world.part
        else ("TUL's product page",)
    )  # fmt: skip
    assert all(place in result.stderr for place in places), f"no place is named: {_last(result)}"


def wall_1_preset_that_does_not_apply(world: World) -> None:
    """A board that Vivado does not set is an error."""
    result = world.go_on(refused=world.boards)
    assert result.returncode != 0, "the project has no board, and it goes on"
    assert "preset would not apply" in result.stderr, _last(result)


def wall_2_command(world: World) -> None:
    """The command that is told has a terminal and a login shell."""
    result = world.go_on()
    command = "ssh -t xilinx@board 'sudo bash -lc \"python3 /home/xilinx/overlay/run_on_board.py\"'"
    assert command in result.stdout + result.stderr, "no command for the board is told"


def wall_2_on_the_board(world: World) -> None:
    """XRT's variable is there; errors are 2, in one line."""
    board = world.on_the_board()
    assert "XRT: /usr;" in board.stdout, f"{board.stdout.strip()}"
    assert board.returncode == 2, f"status {board.returncode}: {_last(board)}"
    assert len(board.stderr.splitlines()) == 1, f"{len(board.stderr.splitlines())} lines of error"


def wall_3_on_the_board(world: World) -> None:
    """PYNQ knows nothing of the path that is loaded."""
    board = world.on_the_board()
    assert "metadata: its own" in board.stdout, board.stdout.strip()


def wall_3_identity(world: World) -> None:
    """The bitstream tells which network it is of: the driver need not trust names of files."""
    result = world.go_on()
    assert result.returncode == 0, _last(result)
    (bitfile,) = world.overlay.glob("*.bit")
    found = re.search(rb"UserID=0X([0-9A-F]{8})", bitfile.read_bytes())
    path = world.overlay / "accelerator.json"
    assert path.is_file() and found, "nothing tells of which network the overlay is"
    wanted = json.loads(path.read_text())["network_id"][:8]
    assert found[1].decode().lower() == wanted, f"the bitstream is of {found[1]!r}, not {wanted}"


def wall_4_the_clock_that_runs(world: World) -> None:
    """For 200 MHz the Ultra96's processor gives 187.5; Vivado's figure goes to the driver."""
    result = world.go_on()
    assert result.returncode == 0, _last(result)
    path = world.overlay / "accelerator.json"
    assert path.is_file(), "no file tells the driver a clock"
    found = json.loads(path.read_text())["clock_mhz"]
    wanted = 199.998 if world.target == "finn" else 187.498125 if "xczu" in world.part else 200.0
    assert abs(found - wanted) < 1e-3, f"{found} MHz are told, {wanted} run"
    warned = "more than 1 % away" in result.stdout
    assert warned == (abs(wanted - 200) > 2), "the difference is not told"


def wall_5_memory_port(world: World) -> None:
    """Of a Zynq-7000 it has 64 bits, whatever a beat has."""
    widths = re.findall(r"PCW_S_AXI_HP0_DATA_WIDTH (\d+)", world.text)
    assert set(widths) <= {"64"}, f"the port has {widths[0]} bits"


def wall_6_again(world: World) -> None:
    """`continue.sh` runs twice, and leaves what was handed over as it was."""
    before = {path: path.read_bytes() for path in world.folder.rglob("*") if path.is_file()}
    first, second = world.go_on(), world.go_on()
    assert first.returncode == 0, _last(first)
    assert second.returncode == 0, f"the second time: {_last(second)}"
    changed = [path.name for path, text in before.items() if path.read_bytes() != text]
    assert not changed, f"changed: {changed}"
    if world.target == "finn":
        assert (world.overlay / "requirements.txt").is_file(), "no version of FINN's driver"
        assert (world.folder / "lib" / "finn-hlslib.commit").is_file(), "no commit of finn-hlslib"


def wall_7_old_vitis_hls(world: World) -> None:
    """One that exports no IP since 2022 is told at once."""
    if world.target != "rtl":
        result = world.go_on("2021.2")
        assert result.returncode == 3, f"it runs: {_last(result)}"
        assert not world.scripts_run() and "76960" in result.stderr, _last(result)


def wall_8_timing(world: World) -> None:
    """Without setup and hold no overlay lies there, not even an earlier one."""
    result = world.go_on()
    assert result.returncode == 0, _last(result)
    for kind in ("setup", "hold"):
        assert world.go_on(**{kind: "-0.1"}).returncode != 0, f"{kind} is missed, and it goes on"
        assert not world.overlay.exists(), f"{kind} is missed, and an overlay lies there"
    assert world.go_on().returncode == 0
    assert world.go_on(boards="").returncode != 0
    assert not world.overlay.exists(), "an overlay lies there that this run has not made"


def _last(result: subprocess.CompletedProcess[str]) -> str:
    return (result.stderr.strip() or result.stdout.strip() or "no text").splitlines()[-1]


WALLS: dict[str, Callable[[World], None]] = {
    name: value
    for name, value in inspect.getmembers(sys.modules[__name__], inspect.isfunction)
    if name.startswith("wall_")
}


def main(folders: list[str]) -> int:
    """A line for each wall of each folder; 1 if any stands."""
    stand = 0
    for folder in map(Path, folders):
        for name, look in WALLS.items():
            with TemporaryDirectory() as scratch:
                try:
                    look(World(folder, Path(scratch)))
                    told = "passes"
                except AssertionError as error:
                    stand, told = 1, f"FAILS: {str(error).splitlines()[0][:150]}"
            sys.stdout.write(f"{folder.parent.name}  {name}  {told}\n")
    return stand


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
