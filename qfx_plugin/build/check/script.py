"""What every check of a block-design script shares: calls in order, each with its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

from ...errors import TargetError
from .record import Call


class ScriptedDesign:
    """A block design as its script builds it, call by call; subclasses add `handlers`.

    Args:
        part: FPGA part that the project must name.
    """

    def __init__(self, part: str) -> None:
        self.part = part
        self.cells: dict[str, Any] = {}
        self.validated = False
        self.handlers: dict[str, Callable[[Call], None]] = {
            "create_project": self._project,
            "validate_bd_design": self._validate,
        }

    def play(self, calls: Iterable[Call]) -> Self:
        """Check every call in order; returns the design itself.

        Raises:
            TargetError: names the call and the rule it breaks.
        """
        for call in calls:
            handler = self.handlers.get(call.name)
            if handler is not None:
                handler(call)
        if not self.validated:
            raise TargetError("block design: validate_bd_design is missing")
        return self

    def expect(self, call: Call, holds: bool, rule: str) -> None:
        """Raise unless the rule holds."""
        if not holds:
            raise TargetError(f"block design: {call}: needs {rule}")

    def finish(self, call: Call) -> None:
        """What must hold of the whole design."""

    def _project(self, call: Call) -> None:
        self.expect(call, call.option("-part") == self.part, f"-part {self.part}")

    def _validate(self, call: Call) -> None:
        self.finish(call)
        self.validated = True
