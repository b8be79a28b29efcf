"""What is checked of a hand-over of target rtl where Vivado is not installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ...boards import Board
from ...driver import Description
from ...errors import TargetError
from ...tools import tcl, verilator
from ..board_values import accelerator_address, dma_address
from ..check.block_design import VIVADO_COMMANDS, Cell, Design
from ..check.record import Call, record

_MEMORY = re.compile(r'\$readmem[hb]\(\s*"([^"]*)"')
_LINT = ("-Wno-lint", "-Wno-style")
"""Verilator's errors only: its opinions are asked for in our tests."""

_ALLOWED = {"numpy", "qfx_driver", "brevitas_quantizers"}
_IMPORT = """\
import sys
from importlib import import_module
from pathlib import Path
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import qfx_driver
for path in sorted(Path(qfx_driver.__file__).parent.glob("[a-z]*.py")):
    import_module("qfx_driver." + path.stem)
qfx_driver.Description.load(sys.argv[1] + "/accelerator.json")
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(" ".join(sorted(names - set(sys.stdlib_module_names))))
print(qfx_driver.__file__)
print(sys.modules["brevitas_quantizers"].__file__)
"""


def check(folder: Path, board: Board, scratch: Path) -> list[str]:
    """Check a hand-over folder; what was checked, in sentences.

    Raises:
        TargetError: the first rule that is broken.
    """
    work, shipped = scratch / "check_vivado", scratch / "handover"
    work.mkdir(parents=True)
    shutil.copytree(folder, shipped)
    description = Description.load(folder / "overlay" / "accelerator.json")
    calls = record(shipped / "vivado" / "block_design.tcl", VIVADO_COMMANDS, work)
    design = Design(board).play(calls)
    sources = _check_sources(shipped, calls)
    modules = _check_modules(shipped, description.top, calls)
    _check_streams(description, design.cells)
    _check_addresses(description, board, calls)
    overlay = _check_overlay(folder, work, description)
    packages = _check_driver(shipped / "overlay")
    _check_shell_script(folder / "continue.sh")
    return [
        f"Vivado script: {len(calls)} calls run in {tcl.version()} against stand-ins; "
        f"{len(design.cells)} blocks, all parameters and their values, pins and interfaces are in "
        "the catalog",
        f"Verilog: all {len(sources)} sources and memories are added to the project; {modules} of "
        f"them elaborate in {verilator.version()} below {description.top}",
        "block design: every clock, reset and interface is connected once; addresses and widths "
        "are those of accelerator.json",
        f"overlay: all {overlay} files and folders are there after the script's end",
        f"driver: imports in a Python of its own from the overlay, and needs {packages}",
        "continue.sh: parses; run_on_board.py: compiles",
    ]


def _check_sources(folder: Path, calls: Sequence[Call]) -> list[Path]:
    """Every file that is handed over is added, and every memory that a source reads is there."""
    there = sorted(path for name in ("rtl", "shell") for path in (folder / name).iterdir())
    added = {
        Path(part).resolve()
        for call in calls
        if call.name == "add_files"
        for part in call.arguments
        if part.startswith("/")
    }
    for path in there:
        if path.resolve() not in added:
            raise TargetError(f"Vivado script: {path.name} is not added to the project")
    names = {path.name for path in there}
    for path in there:
        for memory in _MEMORY.findall(path.read_text("utf-8")) if path.suffix != ".mem" else ():
            if memory not in names:
                raise TargetError(f"{path.name}: reads {memory!r}, which is not handed over")
    return there


def _check_modules(folder: Path, top: str, calls: Sequence[Call]) -> int:
    """All modules below the top are there, with the ports that are connected."""
    used = [call.option("-reference") for call in calls if call.name == "create_bd_cell"]
    if top not in used:
        raise TargetError(
            f"block design: must use module {top}, not {', '.join(filter(None, used))}"
        )
    if not (folder / "shell" / f"{top}.v").is_file():
        raise TargetError(f"shell/{top}.v: must hold the top module in plain Verilog")
    sources = [path for name in ("shell", "rtl") for path in sorted((folder / name).iterdir())
               if path.suffix in (".v", ".sv")]  # fmt: skip
    verilator.lint(sources, top, options=_LINT)
    return len(sources)


def _check_streams(description: Description, cells: dict[str, Cell]) -> None:
    dma, bits = cells["dma"].values, description.input_layout.bus_bits
    for name in ("c_m_axis_mm2s_tdata_width", "c_m_axi_s2mm_data_width"):
        if dma.get(name) != str(bits):
            raise TargetError(
                f"block design: {name} must be {bits} like the accelerator's streams, "
                f"not {dma.get(name)}"
            )
    if dma.get("c_sg_length_width") != str(description.dma_length_bits):
        raise TargetError(
            f"block design: c_sg_length_width must be {description.dma_length_bits} as in "
            f"accelerator.json, not {dma.get('c_sg_length_width')}"
        )


def _check_addresses(description: Description, board: Board, calls: Sequence[Call]) -> None:
    offsets = [int(text, 0) for call in calls if call.name == "assign_bd_address"
               if (text := call.option("-offset")) is not None]  # fmt: skip
    told = [description.dma_address, description.accelerator_address]
    wanted = [dma_address(board), accelerator_address(board)]
    if not offsets == told == wanted:
        raise TargetError(
            "addresses of DMA and accelerator must be the same in the board file, the block "
            f"design and accelerator.json, not {wanted}, {offsets} and {told}"
        )


def _check_overlay(folder: Path, work: Path, description: Description) -> int:
    found = sorted(path.name for path in (work / "overlay").iterdir())
    own = [path.name for path in (folder / "overlay").iterdir()]
    wanted = sorted([f"{description.top}.bit", f"{description.top}.hwh", *own])
    if found != wanted:
        raise TargetError(f"overlay must hold {', '.join(wanted)}, not {', '.join(found)}")
    script = folder / "overlay" / "run_on_board.py"
    compile(script.read_text(encoding="utf-8"), script.name, "exec")
    return len(wanted)


def _check_driver(overlay: Path) -> str:
    """Import the copied driver in a Python that has the overlay and nothing else of ours."""
    result = subprocess.run(
        [sys.executable, "-I", "-B", "-c", _IMPORT, str(overlay)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise TargetError(f"overlay: the driver cannot be imported: {lines[-1]}")
    packages, *paths = result.stdout.splitlines()
    foreign = sorted(set(packages.split()) - _ALLOWED)
    if foreign or not all(Path(path).is_relative_to(overlay) for path in paths):
        raise TargetError(f"overlay: the driver needs {', '.join(foreign or paths)}")
    return ", ".join(sorted(set(packages.split()) - {"qfx_driver", "brevitas_quantizers"}))


def _check_shell_script(path: Path) -> None:
    result = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise TargetError(f"{path.name} does not parse: {result.stderr.strip()}")
