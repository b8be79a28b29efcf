"""Checks the calls of a Vitis HLS script: what the tool would refuse, and what it would not see."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...boards import Board
from ...errors import TargetError
from .record import Call

HLS_COMMANDS = {
    "open_project": {"-reset": 0},
    "set_top": {},
    "add_files": {"-tb": 0, "-cflags": 1, "-csimflags": 1},
    "open_solution": {"-reset": 0, "-flow_target": 1},
    "set_part": {},
    "create_clock": {"-period": 1, "-name": 1},
    "set_clock_uncertainty": {},
    "csim_design": {"-argv": 1, "-clean": 0, "-O": 0},
    "csynth_design": {},
    "cosim_design": {"-rtl": 1, "-argv": 1},
    "export_design": {
        "-format": 1, "-vendor": 1, "-library": 1, "-ipname": 1, "-version": 1, "-output": 1,
    },
}  # fmt: skip
"""The commands that our script may use, their options, and how many values each takes (UG1399)."""

_ORDER = ("open_project", "set_top", "add_files", "open_solution", "set_part", "create_clock",
          "csim_design", "csynth_design", "export_design")  # fmt: skip


def check_hls(calls: Sequence[Call], board: Board, period_ns: float, top: str) -> list[str]:
    """The files that the script names, in order.

    Raises:
        TargetError: names the call and the rule it breaks.
    """
    for call in calls:
        _check_options(call)
    names = [call.name for call in calls]
    places = [names.index(name) if name in names else -1 for name in _ORDER]
    if -1 in places or places != sorted(places):
        raise TargetError(f"HLS script: must call {', '.join(_ORDER)} in this order")
    found = {call.name: call for call in calls}
    _expect(found["set_top"], found["set_top"].arguments == (top,), f"top function {top}")
    _expect(found["set_part"], found["set_part"].arguments == (board.part,), f"part {board.part}")
    period = float(found["create_clock"].option("-period") or 0)
    _expect(found["create_clock"], abs(period - period_ns) < 1e-3, f"a period of {period_ns:g} ns")
    added = [call for call in calls if call.name == "add_files"]
    sources = [_file(call) for call in added if "-tb" not in call.arguments]
    text = "".join(Path(path).read_text() for path in sources)
    if not re.search(rf"^void {re.escape(top)}\(", text, re.MULTILINE):
        raise TargetError(f"HLS script: no file added defines the top function {top}")
    return [_file(call) for call in added]


def _file(call: Call) -> str:
    return next(part for part in call.arguments if part.startswith("/"))


def _check_options(call: Call) -> None:
    options = HLS_COMMANDS.get(call.name)
    if options is None:
        return
    skip = 0
    for part in call.arguments:
        if skip:
            skip -= 1
        elif re.match(r"-[A-Za-z]", part):
            known = ", ".join(options) or "none"
            _expect(call, part in options, f"an option among {known}, not {part}")
            skip = options[part]


def _expect(call: Call, holds: bool, rule: str) -> None:
    if not holds:
        raise TargetError(f"HLS script: {call}: needs {rule}")
