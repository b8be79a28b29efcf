"""Step `handover`: everything that Vivado and the board need, checked without them."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np

from ...config import save
from ..board_values import board_values
from ..render import render
from ..steps import Facts, StepContext
from .check import check
from .shell import SAMPLES, SOURCES, expected_codes

DRIVER = "qfx_driver"


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
    )
    values["SAMPLES"] = min(options.samples, SAMPLES)
    values["SOURCES"] = _lines(folder, ("rtl", "shell"))
    values["OVERLAY"] = " ".join(sorted(path.name for path in (folder / "overlay").iterdir()))
    for name in ("vivado/block_design.tcl", "vivado/constraints.xdc", "continue.sh", "README.md",
                 "overlay/run_on_board.py"):  # fmt: skip
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        template = Path(name).name + (".in" if name.endswith(".py") else "")
        path.write_text(render(f"rtl/{template}", **values), encoding="utf-8")
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
    np.save(overlay / "inputs.npy", np.load(source / "inputs.npy")[:SAMPLES])
    for index, codes in enumerate(expected_codes(context, source).values()):
        np.save(overlay / f"expected_{index}.npy", codes[:SAMPLES])
    (overlay / "run_on_board.py").touch()  # written below; listed with the others
    copy_driver(overlay)


def copy_driver(overlay: Path) -> None:
    """The driver as `qfx_driver`, and what it needs of `brevitas_quantizers`: NumPy only."""
    for package, target, only in (
        ("qfx_plugin.driver", DRIVER, ""),
        ("brevitas_quantizers", "brevitas_quantizers", "__init__"),
        ("brevitas_quantizers.fixed_point", "brevitas_quantizers/fixed_point", ""),
    ):
        (overlay / target).mkdir()
        for entry in sorted(files(package).iterdir(), key=lambda one: one.name):
            if entry.name.endswith(f"{only}.py"):
                text = entry.read_text(encoding="utf-8")
                (overlay / target / entry.name).write_text(text, encoding="utf-8")


def _lines(folder: Path, names: tuple[str, ...]) -> str:
    paths = [path for name in names for path in sorted((folder / name).iterdir())]
    return "\n".join(f"    {path.relative_to(folder).as_posix()}" for path in paths)
