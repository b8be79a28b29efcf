"""Figures of all reports that a folder holds, as a step of a build gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files import parse_json
from .vendor_reports import (
    read_clocks,
    read_cosim,
    read_csynth,
    read_hierarchy,
    read_power,
    read_timing,
    read_utilization,
)

PLACED = "Vivado, placed and routed"
BOARD = "on the board"


def read_facts(folder: Path, asked_mhz: float) -> dict[str, Any]:
    """Figures of every report that is there, as a step would give them.

    Raises:
        DataError: there is none, or one is damaged.
    """
    facts: dict[str, Any] = {"resources": [], "timing": [], "power": [], "agreement": []}
    clock = _clock(folder, asked_mhz)
    for name, read in _READERS.items():
        path = find(folder, name)
        if path is not None:
            read(path, clock, facts)
    facts = {name: entries for name, entries in facts.items() if entries}
    if not facts:
        raise DataError(f"{folder}: holds no report: none of {', '.join(_READERS)}")
    if clock != asked_mhz:
        facts["checks"] = [f"clock: the processor gives {clock:g} MHz for {asked_mhz:g} MHz asked"]
    return facts


def _csynth(path: Path, clock: float, facts: dict[str, Any]) -> None:
    found = read_csynth(path)
    facts["resources"].append(found["resources"])
    facts["timing"].append(found["timing"])


def _cosim(path: Path, clock: float, facts: dict[str, Any]) -> None:
    facts["timing"].append(read_cosim(path.parent, clock))


def _utilization(path: Path, clock: float, facts: dict[str, Any]) -> None:
    facts["resources"].append({"source": PLACED, "used": read_utilization(path)})


def _hierarchy(path: Path, clock: float, facts: dict[str, Any]) -> None:
    parts = read_hierarchy(path)
    own = next((used for name, used in parts.items() if name.endswith("accelerator")), None)
    if own is not None:
        entry = {"source": f"{PLACED}: the accelerator alone", "used": own}
        facts["resources"].append(entry)


def _timing(path: Path, clock: float, facts: dict[str, Any]) -> None:
    facts["timing"].append({"source": PLACED, "clock_mhz": clock, **read_timing(path)})


def _power(path: Path, clock: float, facts: dict[str, Any]) -> None:
    facts["power"].append({"source": "Vivado estimate", **read_power(path)})


def _board(path: Path, clock: float, facts: dict[str, Any]) -> None:
    try:
        table = parse_json(path.read_bytes())
        counts = {name: int(table[name]) for name in ("samples", "compared", "differing")}
        figures = {
            name: float(table[name])
            for name in ("clock_mhz", "latency_cycles", "interval_cycles", "samples_per_second")
            if table.get(name) is not None
        }
        watts = {str(rail): float(watt) for rail, watt in (table.get("watts") or {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: is not what run_on_board.py writes: {error!r}") from error
    if not all(map(math.isfinite, (*figures.values(), *watts.values()))):
        raise DataError(f"{path}: figures must be finite")
    facts["agreement"].append({"executor": BOARD, **counts})
    facts["timing"].append({"source": BOARD, **figures})
    if watts:
        facts["power"].append({"source": BOARD, "watt": sum(watts.values())})


_READERS: dict[str, Callable[[Path, float, dict[str, Any]], None]] = {
    "csynth.xml": _csynth,
    "lat.rpt": _cosim,
    "utilization.rpt": _utilization,
    "utilization_hierarchical.rpt": _hierarchy,
    "timing.rpt": _timing,
    "power.rpt": _power,
    "board.json": _board,
}


def _clock(folder: Path, asked_mhz: float) -> float:
    """The clock of the design that is nearest to the one that was asked for."""
    path = find(folder, "timing.rpt")
    clocks = read_clocks(path).values() if path is not None else ()
    return min(clocks, key=lambda one: abs(one - asked_mhz), default=asked_mhz)


def find(folder: Path, name: str) -> Path | None:
    """The first file of this name, at any depth."""
    return next((path for path in sorted(folder.rglob(name)) if path.is_file()), None)
