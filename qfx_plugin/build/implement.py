"""Vivado, from a block design to a bitstream: what every target's last step does."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ..errors import TargetError
from ..tools import vivado
from .steps import Facts, StepContext
from .vendor_facts import read_facts

REPORTS = ("utilization.rpt", "utilization_hierarchical.rpt", "timing.rpt", "power.rpt")


def implement(context: StepContext, environment: Mapping[str, str] | None = None) -> Facts:
    """Run `vivado/block_design.tcl` of the hand-over; keep the overlay and the reports.

    Args:
        context: of the step.
        environment: variables for the script.

    Raises:
        TargetError: Vivado fails, timing is not met, or the overlay is not complete.
    """
    script = context.input("handover") / "vivado" / "block_design.tcl"
    # The script copies files from beside itself, so it must run from the hand-over folder.
    context.progress(0, 1, "Vivado")
    vivado.run(
        script,
        folder=context.scratch,
        log=context.folder / "vivado.log",
        environment=dict(environment or {}),
    )
    keep(context.scratch / "overlay", context.folder / "overlay")
    (context.folder / "report").mkdir()
    for name in REPORTS:
        keep(context.scratch / name, context.folder / "report" / name)
    return read_facts(context.folder / "report", context.options.clock_mhz)


def probe(
    script: Path, folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> None:
    """Ask Vivado for the board's files, before hours of other tools; nothing where it is missing.

    Args:
        script: `probe.tcl` of the hand-over.
        folder: working folder.
        log: file for all output.
        environment: variables for the script.

    Raises:
        TargetError: the board's files are missing, or of another part.
    """
    if not vivado.available():
        return
    try:
        vivado.run(script, folder=folder, log=log, environment=dict(environment or {}))
    except TargetError as error:
        if "QFX:" in str(error):  # whatever else Vivado lacks, its own step will tell
            raise


def keep(source: Path, target: Path) -> None:
    """Copy what a vendor's tool wrote.

    Raises:
        TargetError: it did not write it.
    """
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        shutil.copyfile(source, target)
    else:
        raise TargetError(f"{source.name}: the vendor's tool ended well but did not write it")
