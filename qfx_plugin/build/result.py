"""What a build did, for people and programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

DONE, REUSED, WAITING, LEFT = "done", "reused", "waiting", "not asked for"


@dataclass(frozen=True)
class StepResult:
    """One step of a build.

    Attributes:
        name: of the step.
        status: "done", "reused" (an earlier result is still good), "waiting" (for a tool that is
            missing) or "not asked for".
        seconds: how long it took when it was done.
        about: one line about it.
    """

    name: str
    status: str
    seconds: float
    about: str


@dataclass(frozen=True)
class BuildResult:
    """A build that did not fail.

    Attributes:
        folder: the build folder.
        target: name of the target.
        board: name of the board.
        steps: all steps of the target, in order.
        missing: what a vendor's step waits for, in one sentence; empty if nothing waits.
        command: how to go on where the tool is; empty if nothing waits.
        seconds: of this run.
        kept: paths of what stood in the way and was not the build's: set aside, within `folder`.
    """

    folder: str
    target: str
    board: str
    steps: tuple[StepResult, ...]
    missing: str = ""
    command: str = ""
    seconds: float = 0.0
    kept: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every step of the target is done."""
        return all(step.status in (DONE, REUSED) for step in self.steps)

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self) | {"complete": self.complete}, indent=2) + "\n"
