"""Step `handover`: everything that Vitis HLS, Vivado and the board need, checked without them."""

from __future__ import annotations

import shutil
from pathlib import Path

from ....boards import Board
from ....config import save
from ....driver import Description
from ....tools import tcl
from ...board_values import HLS_CELL, board_values
from ...check.block_design import VIVADO_COMMANDS, Design
from ...check.hls import HLS_COMMANDS, check_hls
from ...check.includes import check_includes
from ...check.overlay import (
    check_addresses,
    check_driver,
    check_overlay,
    check_shell_script,
    check_streams,
)
from ...check.record import record
from ...overlay import copy_driver, list_overlay, write_run_script
from ...render import render
from ...steps import Facts, StepContext
from .shell import TESTBENCH_SAMPLES

COSIM = """\
# The Verilog with the same test bench: a transfer of one sample, and one of two.
cosim_design -rtl verilog -argv {. pace}
"""

OVERLAY_FILES = ("accelerator.json", "inputs.npy", "expected_0.npy")


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
        network_id=Description.load(context.input("shell") / "accelerator.json").network_id,
        uncertainty=options.settings.clock_uncertainty,
        samples=min(options.samples, TESTBENCH_SAMPLES),
        cosim=options.settings.cosim,
    )
    _copy(context)
    values["OVERLAY"] = list_overlay(context.folder / "overlay")
    for template, name in (
        ("hls4ml/vitis_hls.tcl", "hls/vitis_hls.tcl"),
        ("vivado/probe.tcl", "vivado/probe.tcl"),
        ("vivado/block_design.tcl", "vivado/block_design.tcl"),
        ("vivado/constraints.xdc", "vivado/constraints.xdc"),
        ("hls4ml/continue.sh", "continue.sh"),
        ("hls4ml/README.md", "README.md"),
        ("overlay/first_run.md", "first_run.md"),
    ):
        path = context.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(render(template, **values), encoding="utf-8")
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
    description = Description.load(folder / "overlay" / "accelerator.json")
    calls = record(shipped / "hls" / "vitis_hls.tcl", HLS_COMMANDS, hls_folder)
    named = check_hls(calls, board, 1000.0 / clock_mhz, top)
    sources = [Path(path) for path in named if path.endswith(".cpp")]
    files = check_includes(sources, shipped / "hls")
    Design(board).probe(record(shipped / "vivado" / "probe.tcl", VIVADO_COMMANDS, vivado_folder))
    script = record(shipped / "vivado" / "block_design.tcl", VIVADO_COMMANDS, vivado_folder)
    cells = Design(board).play(script).cells
    check_streams(description, cells)
    check_addresses(description, board, script)
    overlay_files = check_overlay(folder, vivado_folder, description)
    packages = check_driver(shipped / "overlay")
    check_shell_script(folder / "continue.sh")
    return [
        f"HLS script: {len(calls)} calls run in {tcl.version()} against stand-ins; "
        f"{len(named)} files it names exist; part, clock and top function are right",
        f"C++: {len(sources)} sources and all that they include or read are there ({files} files)",
        f"Vivado script: {len(script)} calls run against stand-ins; {len(cells)} blocks, all "
        "parameters and their values, pins and interfaces are in the catalog",
        "block design: every clock, reset and interface is connected once; addresses and widths "
        "are those of accelerator.json",
        f"overlay: all {overlay_files} files and folders are there after the script's end",
        f"driver: imports in a Python of its own from the overlay, and needs {packages}",
        "continue.sh: parses; run_on_board.py: compiles",
    ]


def script_values(
    board: Board,
    top: str,
    project: str,
    *,
    width: int,
    clock_mhz: float,
    network_id: str,
    uncertainty: str,
    samples: int,
    cosim: bool = False,
) -> dict[str, object]:
    """What the templates' `@NAMES@` stand for.

    Args:
        board: part, ports, clock.
        top: name of the accelerator.
        project: name of the network's top function.
        width: bits of a beat, and of the memory port.
        clock_mhz: clock of the logic.
        network_id: of the network.
        uncertainty: as Vitis HLS takes it.
        samples: in the test bench.
        cosim: whether Vitis HLS simulates its Verilog.
    """
    cell = HLS_CELL.values(top, render("hls4ml/accelerator.tcl"))
    return (
        board_values(board, top, width=width, clock_mhz=clock_mhz, network_id=network_id)
        | cell
        | {
            "PROJECT": project,
            "PERIOD": f"{1000.0 / clock_mhz:.6g}",
            "UNCERTAINTY": uncertainty,
            "SAMPLES": samples,
            "COMMAND": "bash continue.sh",
            "PACE": "expected, not measured",
            "COSIM": COSIM if cosim else "",
        }
    )


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
    write_run_script(context.folder / "overlay", str(context.facts("shell")["top"]))
    copy_driver(context.folder / "overlay")
