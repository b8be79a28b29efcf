"""What comes back from a machine with the vendor's tools, and from a board, into a build's report.

`continue.sh` gathers reports and logs in a folder `first_run`; `run_on_board.py` writes
`board.json`. What is kept of them is figures: no path, no name of a person, a machine or a network.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files import parse_json
from .api import write_report
from .manifest import Manifest
from .options import BuildOptions
from .summary import FIRST_RUN_VERSION
from .vendor_facts import find, read_facts
from .workspace import FIRST_RUN, Workspace

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
    manifest = Manifest.load(Path(out))
    if not Path(folder).is_dir():
        raise DataError(f"{folder}: there is no such folder")
    options = BuildOptions.parse(manifest.options, f"{out}: options")
    _check_network(Path(out), Path(folder))
    found = {
        "version": FIRST_RUN_VERSION,
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


def _check_network(out: Path, folder: Path) -> None:
    """What came back is of this build's network, where it tells.

    Raises:
        DataError: it is not.
    """
    given = find(folder, "accelerator.json")
    places = (out / "shell", out / "handover" / "driver")  # of target finn, the second
    own = next((one for place in places if (one := place / "accelerator.json").is_file()), None)
    if given is None or own is None:
        return
    found, wanted = _network_id(given), _network_id(own)
    if found != wanted:
        raise DataError(
            f"{folder}: is of another network: {given.name} has the id {found}, this build {wanted}"
        )


def _network_id(path: Path) -> str:
    try:
        return str(parse_json(path.read_bytes())["network_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: is not what a build writes: {error!r}") from error


def _tools(folder: Path) -> dict[str, str]:
    """Versions that logs and reports name."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".log", ".rpt") and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")[:20000]
            found |= dict(_TOOL.findall(text))
    return found
