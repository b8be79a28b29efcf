"""AMD Vitis HLS: C++ to Verilog. Newer versions start it as `vitis-run --mode hls`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .amd import AmdTool, Program

EXPORTS = (2022, 1)
"""The first version that exports an IP since the year 2022 as it is installed."""


def _no_export(path: str, version: tuple[int, int]) -> str:
    """Before, the date overflows IP's number of revision, unless AMD's patch is there."""
    root = Path(path).resolve().parents[1]
    if version >= EXPORTS or list(root.glob("common/scripts/automg_patch_*.tcl")):
        return ""
    return (
        "cannot export an IP since 2022: use 2022.1 or newer, or install AMD's y2k22 patch "
        f"(article 76960) into {root}"
    )


TOOL = AmdTool(
    name="Vitis HLS",
    programs=(
        Program("vitis_hls", "XILINX_HLS", lambda script: ["-f", script]),
        Program("vitis_hls", "XILINX_VITIS", lambda script: ["-f", script]),
        Program("vitis-run", "XILINX_VITIS", lambda script: ["--mode", "hls", "--tcl", script]),
    ),
    oldest=(2020, 2),
    flaw=_no_export,
)


def find() -> str | None:
    """Path of `vitis_hls` or `vitis-run`: on the search path, or where `XILINX_HLS` or
    `XILINX_VITIS` say.
    """
    return TOOL.find()


def available() -> bool:
    """Whether Vitis HLS is installed."""
    return find() is not None


def require() -> str:
    """Path of the program.

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
