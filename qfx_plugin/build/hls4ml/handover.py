"""Step `handover`: everything that Vitis HLS, Vivado and the board need, checked without them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ...boards import Board
from ...config import save
from ...errors import TargetError
from ...tools import tcl
from ..board_values import board_values
from ..check.block_design import VIVADO_COMMANDS, Design
from ..check.hls import HLS_COMMANDS, check_hls
from ..check.includes import check_includes
from ..check.record import record
from ..render import render
from ..steps import Facts, StepContext
from .shell import TESTBENCH_SAMPLES

OVERLAY_FILES = ("accelerator.json", "inputs.npy", "expected.npy")


def run(context: StepContext) -> Facts:
    """Write the folder and check it.

    Raises:
        TargetError: a check fails.
    """
    options = context.options
    values = script_values(
        context.board,
        context.facts("shell")["top"],
        context.facts("convert")["project"],
        width=options.settings.axis_width,
        clock_mhz=options.clock_mhz,
        uncertainty=options.settings.clock_uncertainty,
        samples=min(options.samples, TESTBENCH_SAMPLES),
    )
    _copy(context)
    for template, name in (
        ("vitis_hls.tcl", "hls/vitis_hls.tcl"),
        ("block_design.tcl", "vivado/block_design.tcl"),
        ("constraints.xdc", "vivado/constraints.xdc"),
        ("continue.sh", "continue.sh"),
        ("run_on_board.py.in", "overlay/run_on_board.py"),
        ("README.md", "README.md"),
    ):
        path = context.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(render(f"hls4ml/{template}", **values), encoding="utf-8")
    (context.folder / "continue.sh").chmod(0o755)
    facts = {"checks": check(context.folder, context.board, context.options.clock_mhz,
                             str(values["TOP"]), context.scratch)}  # fmt: skip
    save(facts, context.folder / "checks.json")
    for line in facts["checks"]:
        context.log.info("checked: %s", line)
    return facts


def check(folder: Path, board: Board, clock_mhz: float, top: str, scratch: Path) -> list[str]:
    """Check a hand-over folder; what was checked, in sentences.

    Raises:
        TargetError: the first rule that is broken.
    """
    hls_folder, vivado_folder = scratch / "check_hls", scratch / "check_vivado"
    repository = scratch / "hls" / "qfx_hls" / "solution" / "impl" / "ip"
    for path in (hls_folder, vivado_folder, repository):
        path.mkdir(parents=True)
    shutil.copytree(folder, scratch / "handover")
    shipped = scratch / "handover"
    calls = record(shipped / "hls" / "vitis_hls.tcl", HLS_COMMANDS, hls_folder)
    named = check_hls(calls, board, 1000.0 / clock_mhz, top)
    sources = [Path(path) for path in named if path.endswith(".cpp")]
    files = check_includes(sources, shipped / "hls")
    design = record(shipped / "vivado" / "block_design.tcl", VIVADO_COMMANDS, vivado_folder)
    cells = Design(board).play(design).cells
    overlay = sorted(path.name for path in (vivado_folder / "overlay").iterdir())
    wanted = sorted([f"{top}.bit", f"{top}.hwh", "run_on_board.py", *OVERLAY_FILES])
    if overlay != wanted:
        raise TargetError(f"overlay must hold {', '.join(wanted)}, not {', '.join(overlay)}")
    _check_streams(folder, cells["dma"].values)
    _check_shell_script(folder / "continue.sh")
    compile((folder / "overlay" / "run_on_board.py").read_text(), "run_on_board.py", "exec")
    return [
        f"HLS script: {len(calls)} calls run in {tcl.version()} against stand-ins; "
        f"{len(named)} files it names exist; part, clock and top function are right",
        f"C++: {len(sources)} sources and all that they include or read are there ({files} files)",
        f"Vivado script: {len(design)} calls run against stand-ins; {len(cells)} blocks, all "
        "parameters and their values, pins and interfaces are in the catalog",
        "block design: every clock, reset and interface is connected once; no address overlaps",
        f"overlay: all {len(wanted)} files are there after the script's end",
        "continue.sh: parses; run_on_board.py: compiles",
    ]


def script_values(
    board: Board,
    top: str,
    project: str,
    *,
    width: int,
    clock_mhz: float,
    uncertainty: str,
    samples: int,
) -> dict[str, object]:
    """What the templates' `@NAMES@` stand for.

    Args:
        board: part, ports, clock.
        top: name of the accelerator.
        project: name of the network's top function.
        width: bits of a beat, and of the memory port.
        clock_mhz: clock of the logic.
        uncertainty: as Vitis HLS takes it.
        samples: in the test bench.
    """
    return board_values(board, top, width=width, clock_mhz=clock_mhz) | {
        "PROJECT": project,
        "PERIOD": f"{1000.0 / clock_mhz:.6g}",
        "UNCERTAINTY": uncertainty,
        "SAMPLES": samples,
    }


def _copy(context: StepContext) -> None:
    """What the step `shell` has written and simulated, but the stand-ins for Vitis' headers."""
    shell = context.input("shell")
    shutil.copytree(
        shell,
        context.folder / "hls",
        ignore=shutil.ignore_patterns("ap_types", "standin", *OVERLAY_FILES),
    )
    (context.folder / "overlay").mkdir()
    for name in OVERLAY_FILES:
        shutil.copyfile(shell / name, context.folder / "overlay" / name)


def _check_streams(folder: Path, dma: dict[str, str]) -> None:
    accelerator: dict[str, Any] = json.loads((folder / "overlay" / "accelerator.json").read_text())
    for name in ("c_m_axis_mm2s_tdata_width", "c_m_axi_s2mm_data_width"):
        if dma.get(name) != str(accelerator["beat_bits"]):
            raise TargetError(
                f"block design: {name} must be {accelerator['beat_bits']} like the accelerator's "
                f"streams, not {dma.get(name)}"
            )


def _check_shell_script(path: Path) -> None:
    result = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise TargetError(f"{path.name} does not parse: {result.stderr.strip()}")
