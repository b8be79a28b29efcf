"""AMD Vivado: synthesis, place and route, bitstreams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .amd import AmdTool, Program

TOOL = AmdTool(
    name="Vivado",
    programs=(
        Program(
            "vivado",
            "XILINX_VIVADO",
            lambda script: ["-mode", "batch", "-nojournal", "-nolog", "-notrace",
                            "-source", script],
        ),
    ),
    oldest=(2020, 1),
)  # fmt: skip


def find() -> str | None:
    """Path of `vivado`: on the search path, or in the folder that `XILINX_VIVADO` names."""
    return TOOL.find()


def available() -> bool:
    """Whether Vivado is installed."""
    return find() is not None


def require() -> str:
    """Path of `vivado`.

    Raises:
        ToolMissingError: it is not installed, or too old.
    """
    return TOOL.require()


def version() -> str:
    """Such as `2023.2`.

    Raises:
        ToolMissingError: it is not installed, or too old.
    """
    return TOOL.version()


def run(script: Path, *, folder: Path, log: Path, **options: Any) -> None:
    """Run a Tcl script in batch mode; see `AmdTool.run`."""
    TOOL.run(script, folder=folder, log=log, **options)
