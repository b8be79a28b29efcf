"""What a build found out, as data: frozen, comparable, out as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from qfx_plugin.report.model import ExecutorAgreement, LearnedFormat

BUILD_REPORT_VERSION = 1


@dataclass(frozen=True)
class StepRow:
    """One step.

    Attributes:
        name: of the step.
        about: one line about it.
        done: whether its result is there.
        seconds: how long it took.
        versions: of the tools it used.
    """

    name: str
    about: str
    done: bool
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceUse:
    """Pieces of the logic that something counted.

    Attributes:
        source: who says so, "Yosys estimate", "Vivado, placed and routed".
        used: pieces by name: lut, ff, carry, dsp, bram36, uram.
    """

    source: str
    used: Mapping[str, float]


@dataclass(frozen=True)
class BuildReport:
    """A build folder.

    Attributes:
        model: name of the model.
        target: what it was built into.
        board: name of the board.
        part: its FPGA.
        clock_mhz: clock of the logic.
        capacity: pieces of the logic that the board has.
        steps: all steps, in order.
        agreement: executors compared with the interpreter.
        formats: learned formats, in the order of the network.
        resources: who counted what.
        timing: figures of latency and timing, each with its `source`.
        checks: what was checked, in sentences.
        missing: what is not there, and how to get it, in sentences.
        failed: what stopped the last run; empty if nothing did.
        version: of this layout in JSON.
    """

    model: str
    target: str
    board: str
    part: str
    clock_mhz: float
    capacity: Mapping[str, int]
    steps: tuple[StepRow, ...]
    agreement: tuple[ExecutorAgreement, ...] = ()
    formats: tuple[LearnedFormat, ...] = ()
    resources: tuple[ResourceUse, ...] = ()
    timing: tuple[Mapping[str, Any], ...] = ()
    checks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    failed: str = ""
    version: int = BUILD_REPORT_VERSION

    @property
    def compared(self) -> int:
        """Codes compared, over all executors."""
        return sum(entry.compared for entry in self.agreement)

    @property
    def proven(self) -> bool:
        """Whether something was compared, nothing differs, and no step failed."""
        differing = sum(entry.differing for entry in self.agreement)
        return self.compared > 0 and differing == 0 and not self.failed

    @property
    def seconds(self) -> float:
        """All steps together."""
        return sum(step.seconds for step in self.steps)

    def share(self, use: ResourceUse, piece: str) -> float | None:
        """Part of the board that is used; `None` if the board has none of it."""
        have = self.capacity.get(piece, 0)
        return use.used[piece] / have if have else None

    def to_json(self) -> str:
        """As JSON text; formats are written as `ap_fixed<w,i>`."""
        data = asdict(self)
        data["formats"] = {entry.tensor: [str(f) for f in entry.formats] for entry in self.formats}
        return json.dumps(data, indent=2) + "\n"


def verdict(report: BuildReport) -> str:
    """What was proven, in one sentence."""
    if report.failed:
        return f"The last run failed: {report.failed}"
    if report.compared == 0:
        return "Nothing was compared yet: nothing is proven."
    differing = sum(entry.differing for entry in report.agreement)
    if differing:
        return f"{differing:,} of {report.compared:,} integer codes differ."
    compared = (entry.executor for entry in report.agreement if entry.compared)
    names = ", ".join(dict.fromkeys(compared))
    return f"{report.compared:,} integer codes compared with the interpreter, 0 differ ({names})."
