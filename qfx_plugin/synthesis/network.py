"""Yosys estimates of a written network: small designs whole, large ones unit by unit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .estimate import ResourceEstimate, combine, estimate


def estimate_folder(
    folder: Path, top: str, units: Sequence[str] = (), *, family: str = "xcup"
) -> tuple[ResourceEstimate, list[ResourceEstimate]]:
    """Estimate the design in a folder that `compile_rtl` wrote.

    Args:
        folder: its `rtl/`.
        top: name of the top module.
        units: modules to synthesise one by one; the whole design at once if there are none.
        family: of the device, as Yosys calls it.

    Returns:
        The total, and the estimate of each unit.

    Raises:
        ToolMissingError: Yosys is not installed.
        TargetError: Yosys ran out of time or memory.
    """
    sources = sorted([*folder.glob("*.sv"), *folder.glob("*.v")])
    memories = sorted(folder.glob("*.mem"))
    names = list(units) or [top]
    parts = [estimate(sources, name, memories=memories, family=family) for name in names]
    return (parts[0] if len(parts) == 1 else combine(top, parts)), parts
