"""A mapped design placed, routed and made a bitstream: what each family's tools want."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..boards import OpenBoard
from ..errors import TargetError
from ..tools import nextpnr, process
from ..tools.cache import cache_dir
from .mapping import NETLIST

CONSTRAINTS, ROUTED, REPORT = "pins.txt", "routed.txt", "routed.json"
"""What `route` reads besides the netlist, and writes, in its folder."""


LOG = "nextpnr.log"
KEPT = 32
"""Results in the cache, a few MB each."""


def route(
    folder: Path, board: OpenBoard, clock_mhz: float, seed: int, limits: process.ToolLimits
) -> process.ToolRun:
    """Place and route `NETLIST` of `folder` with `CONSTRAINTS`; see `read_report`.

    The result is kept in the cache, by everything that decides it.

    Args:
        folder: working folder; gets `ROUTED` and `REPORT`.
        board: device and package.
        clock_mhz: what the clocks are to reach; a clock that does not is told, not refused.
        seed: of placement and routing.
        limits: on time and memory.

    Raises:
        ToolMissingError: nextpnr is not installed.
        TargetError: a limit was exceeded, or nextpnr reports an error.
    """
    flow = nextpnr.FLOWS[board.family]
    arguments = [
        *_DEVICE[board.family](board), "--json", NETLIST, "--report", REPORT,
        "--freq", f"{clock_mhz:g}", "--timing-allow-fail", "--seed", str(seed),
    ]  # fmt: skip
    kept = _kept(folder, arguments, flow.version())
    if (kept / REPORT).exists():
        os.utime(kept)
        for name in (ROUTED, REPORT, LOG):
            shutil.copyfile(kept / name, folder / name)
        return process.ToolRun(0.0, 0.0, folder / LOG)
    run = flow.route(folder, arguments, _what(board), limits)
    _keep(folder, kept)
    return run


def _kept(folder: Path, arguments: Sequence[str], version: str) -> Path:
    """Where the result of the same design, device, seed and tool is."""
    digest = hashlib.sha256(json.dumps([list(arguments), version]).encode())
    for name in (NETLIST, CONSTRAINTS):
        digest.update((folder / name).read_bytes())
    return cache_dir() / "nextpnr" / digest.hexdigest()[:32]


def _keep(folder: Path, kept: Path) -> None:
    """A place in the cache, whole or not at all; those not used for longest go."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as work:
        for name in (ROUTED, REPORT, LOG):
            shutil.copyfile(folder / name, Path(work) / name)
        with contextlib.suppress(OSError):  # another process was first
            shutil.copytree(work, Path(work).with_suffix(".new"))
            Path(work).with_suffix(".new").rename(kept)
    found = sorted(kept.parent.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in found[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def pack(
    folder: Path, board: OpenBoard, bitstream: str, limits: process.ToolLimits
) -> process.ToolRun:
    """Make a bitstream of `ROUTED`.

    Args:
        folder: of a run of `route`.
        board: device.
        bitstream: file of `folder` to write.
        limits: on time and memory.

    Raises:
        ToolMissingError: the packer is not installed.
        TargetError: a limit was exceeded, or the packer reports an error.
    """
    arguments = {
        "ecp5": ["--compress", ROUTED, "--bit", bitstream],
        "gowin": ["-d", board.device, "-o", bitstream, ROUTED],
    }[board.family]
    return nextpnr.FLOWS[board.family].pack(folder, arguments, _what(board), limits)


def _what(board: OpenBoard) -> str:
    return f"the design for {board.name}"


def _ecp5(board: OpenBoard) -> list[str]:
    device = [f"--{board.device}", "--package", board.package, "--speed", board.speed]
    return [*device, "--lpf", CONSTRAINTS, "--textcfg", ROUTED]


def _gowin(board: OpenBoard) -> list[str]:
    device = ["--device", board.part, "--vopt", f"family={board.device}"]
    return [*device, "--vopt", f"cst={CONSTRAINTS}", "--write", ROUTED]


_DEVICE = {"ecp5": _ecp5, "gowin": _gowin}


def constraints(board: OpenBoard, pins: Mapping[str, str], clock: str) -> str:
    """Where the ports of the top are, as nextpnr's file of the family.

    Args:
        board: its family, oscillator and electrical standard.
        pins: site by port.
        clock: the port that the oscillator drives.
    """
    standard, lines = board.pins.standard, []
    for port, site in pins.items():
        if board.family == "ecp5":
            lines += [f'LOCATE COMP "{port}" SITE "{site}";']
            lines += [f'IOBUF PORT "{port}" IO_TYPE={standard};']
        else:
            lines += [f'IO_LOC "{port}" {site};', f'IO_PORT "{port}" IO_TYPE={standard};']
    if board.family == "ecp5":
        lines.append(f'FREQUENCY PORT "{clock}" {board.clock.reference_mhz:g} MHZ;')
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Routed:
    """What nextpnr found out.

    Attributes:
        clocks: fastest frequency after routing by name of the net, in MHz.
        used: (used, there) by kind of the device's places.
        slowest: cells on the longest way between two registers of the slowest clock, in order.
        delay_ns: of that way.
    """

    clocks: Mapping[str, float]
    used: Mapping[str, tuple[int, int]]
    slowest: tuple[str, ...]
    delay_ns: float

    @property
    def reached_mhz(self) -> float:
        """The slowest clock."""
        return min(self.clocks.values(), default=0.0)


def read_report(path: Path) -> Routed:
    """What `Flow.route` has written.

    Raises:
        TargetError: the report is damaged.
    """
    try:
        return _routed(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise TargetError(f"{path.name}: is no report of nextpnr: {error!r}") from error


def _routed(report: Mapping[str, Any]) -> Routed:
    clocks = {name: float(entry["achieved"]) for name, entry in report["fmax"].items()}
    used = {
        name: (int(entry["used"]), int(entry["available"]))
        for name, entry in report["utilization"].items()
        if entry["used"]
    }
    within = [way for way in report["critical_paths"] if way["from"] == way["to"]]
    longest: Sequence[Mapping[str, Any]] = max(
        (way["path"] for way in within), key=_delay, default=[]
    )
    cells = dict.fromkeys(part[end]["cell"] for part in longest for end in ("from", "to"))
    return Routed(clocks, used, tuple(cells), round(_delay(longest), 3))


def _delay(way: Sequence[Mapping[str, Any]]) -> float:
    return sum(float(part["delay"]) for part in way)
