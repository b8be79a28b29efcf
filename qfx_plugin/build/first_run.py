"""What comes back from a machine with the vendor's tools, and from a board, into a build's report.

`continue.sh` gathers reports and logs in a folder `first_run`; `run_on_board.py` writes
`board.json`. What is kept of them is figures: no path, no name of a person, a machine or a network.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..driver import Description
from ..errors import DataError, QfxError
from ..files import parse_json
from .manifest import Manifest
from .options import BuildOptions
from .vendor_reports import (
    read_clocks,
    read_cosim,
    read_csynth,
    read_hierarchy,
    read_power,
    read_timing,
    read_utilization,
)
from .workspace import FIRST_RUN, Workspace

VERSION = 1
PLACED = "Vivado, placed and routed"
BOARD = "on the board"
_TOOL = re.compile(r"\b(Vivado|Vitis HLS|Vitis)\b.{0,40}?\bv(20\d\d\.\d)")


def report_from(out: str | os.PathLike[str], folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what came back into the report of a build folder; returns what `first_run.json` holds.

    Args:
        out: the build folder.
        folder: with the reports, at any depth: what `continue.sh` has gathered, and `board.json`.

    Raises:
        DataError: `out` is no build folder, `folder` holds no report that is known, one of them is
            damaged, or it is of another network.
    """
    from .api import write_report

    manifest = Manifest.load(Path(out))
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: there is no such folder")
    options = BuildOptions.parse(manifest.options, f"{out}: options")
    _check_network(Path(out), Path(folder))
    found = {
        "version": VERSION,
        "target": options.target.name,
        "board": options.load_board().name,
        "tools": _tools(Path(folder)),
        "facts": read_facts(Path(folder), options.clock_mhz),
    }
    workspace = Workspace(out)
    with workspace.locked():
        workspace.put(FIRST_RUN, json.dumps(found, indent=2) + "\n")
        write_report(workspace)
    return found


def facts_of(folder: Path) -> dict[str, Any]:
    """The facts of `first_run.json`; empty without.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / FIRST_RUN
    if not path.is_file():
        return {}
    try:
        table = parse_json(path.read_bytes())
        if table["version"] != VERSION:
            raise DataError(f"{path}: version must be {VERSION}, not {table['version']!r}")
        return dict(table["facts"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, QfxError):
            raise
        raise DataError(f"{path}: is damaged: {error}") from error


def read_facts(folder: Path, asked_mhz: float) -> dict[str, Any]:
    """Figures of every report that is there, as a step would give them.

    Raises:
        DataError: there is none, or one is damaged.
    """
    facts: dict[str, Any] = {"resources": [], "timing": [], "power": [], "agreement": []}
    clock = _clock(folder, asked_mhz)
    for name, read in _READERS.items():
        path = _find(folder, name)
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
    path = _find(folder, "timing.rpt")
    clocks = read_clocks(path).values() if path is not None else ()
    return min(clocks, key=lambda one: abs(one - asked_mhz), default=asked_mhz)


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in sorted(folder.rglob(name)) if path.is_file()), None)


def _check_network(out: Path, folder: Path) -> None:
    """What came back is of this build's network, where it tells.

    Raises:
        DataError: it is not.
    """
    given, own = _find(folder, "accelerator.json"), out / "shell" / "accelerator.json"
    if given is None or not own.is_file():
        return
    found, wanted = Description.load(given).network_id, Description.load(own).network_id
    if found != wanted:
        raise DataError(
            f"{folder}: is of another network: {given.name} has the id {found}, this build {wanted}"
        )


def _tools(folder: Path) -> dict[str, str]:
    """Versions that logs and reports name."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".log", ".rpt") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")[:20000]
            found |= dict(_TOOL.findall(text))
    return found
