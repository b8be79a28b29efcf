"""How the demo tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class DemoProgress(Protocol):
    """Listens to the demo. `qfx demo` shows a bar; tests and notebooks may stay silent."""

    def stage(self, name: str) -> None:
        """A new stage begins: "CNN, QFX 6-bit: training". The previous one is finished."""

    def step(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` steps of the stage are finished; `note` is shown beside the bar."""


class SilentDemo:
    """Listens and says nothing."""

    def stage(self, name: str) -> None:
        """Ignored."""

    def step(self, done: int, total: int, note: str = "") -> None:
        """Ignored."""
