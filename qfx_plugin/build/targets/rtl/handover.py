"""Step `handover`: everything that Vivado and the board need, checked without them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from ....config import save
from ...board_values import RTL_CELL, board_values
from ...inputs import load_inputs, save_inputs
from ...model_steps import expected_codes
from ...overlay import copy_driver, list_overlay, write_run_script
from ...render import render
from ...steps import Facts, StepContext
from .check import check
from .shell import SAMPLES, SOURCES


def run(context: StepContext) -> Facts:
    """Write the folder and check it.

    Raises:
        TargetError: a check fails.
    """
    folder, options = context.folder, context.options
    shutil.copytree(context.input("verilog") / "rtl", folder / "rtl")
    shutil.copytree(context.input("shell") / SOURCES, folder / "shell")
    _write_overlay(context, folder / "overlay")
    values = board_values(
        context.board,
        context.facts("shell")["top"],
        width=options.settings.axis_width,
        clock_mhz=options.clock_mhz,
        network_id=context.facts("shell")["network_id"],
    )
    values["COMMAND"], values["PACE"] = "bash continue.sh", "simulated, without a memory's pauses"
    values["SAMPLES"] = min(options.samples, SAMPLES)
    values["SOURCES"] = _lines(folder, ("rtl", "shell"))
    values["OVERLAY"] = list_overlay(folder / "overlay")
    values |= RTL_CELL.values(str(values["TOP"]), render("rtl/accelerator.tcl", **values))
    for template, name in (
        ("vivado/probe.tcl", "vivado/probe.tcl"),
        ("vivado/block_design.tcl", "vivado/block_design.tcl"),
        ("vivado/constraints.xdc", "vivado/constraints.xdc"),
        ("rtl/continue.sh", "continue.sh"),
        ("rtl/README.md", "README.md"),
        ("overlay/first_run.md", "first_run.md"),
    ):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(render(template, **values), encoding="utf-8")
    (folder / "continue.sh").chmod(0o755)
    facts = {"checks": check(folder, context.board, context.scratch)}
    save(facts, folder / "checks.json")
    for line in facts["checks"]:
        context.log.info("checked: %s", line)
    return facts


def _write_overlay(context: StepContext, overlay: Path) -> None:
    """Description, test vectors and driver."""
    overlay.mkdir()
    shutil.copyfile(context.input("shell") / "accelerator.json", overlay / "accelerator.json")
    source = context.input("import")
    save_inputs(overlay, load_inputs(source, SAMPLES))
    for index, codes in enumerate(expected_codes(context, source).values()):
        np.save(overlay / f"expected_{index}.npy", codes[:SAMPLES])
    write_run_script(overlay, context.facts("shell")["top"])
    copy_driver(overlay)


def _lines(folder: Path, names: tuple[str, ...]) -> str:
    paths = [path for name in names for path in sorted((folder / name).iterdir())]
    return "\n".join(f"    {path.relative_to(folder).as_posix()}" for path in paths)
