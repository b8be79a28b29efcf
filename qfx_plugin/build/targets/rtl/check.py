"""What is checked of a hand-over of target rtl where Vivado is not installed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ....boards import Board
from ....driver import Description
from ....errors import TargetError
from ....tools import tcl, verilator
from ...check.block_design import VIVADO_COMMANDS, Design
from ...check.overlay import (
    check_addresses,
    check_driver,
    check_overlay,
    check_shell_script,
    check_streams,
)
from ...check.record import Call, record

_MEMORY = re.compile(r'\$readmem[hb]\(\s*"([^"]*)"')
_LINT = ("-Wno-lint", "-Wno-style")
"""Verilator's errors only: its opinions are asked for in our tests."""


def check(folder: Path, board: Board, scratch: Path) -> list[str]:
    """Check a hand-over folder; what was checked, in sentences.

    Raises:
        TargetError: the first rule that is broken.
    """
    work, shipped = scratch / "check_vivado", scratch / "handover"
    work.mkdir(parents=True)
    shutil.copytree(folder, shipped)
    description = Description.load(folder / "overlay" / "accelerator.json")
    Design(board).probe(record(shipped / "vivado" / "probe.tcl", VIVADO_COMMANDS, work))
    calls = record(shipped / "vivado" / "block_design.tcl", VIVADO_COMMANDS, work)
    design = Design(board).play(calls)
    sources = _check_sources(shipped, calls)
    modules = _check_modules(shipped, description.top, calls)
    check_streams(description, design.cells)
    check_addresses(description, board, calls)
    overlay = check_overlay(folder, work, description)
    packages = check_driver(shipped / "overlay")
    check_shell_script(folder / "continue.sh")
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
