"""Shows how far a long command is: a bar on a terminal, a line for each stage elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from qfx_plugin.report.text import seconds

EVERY = 30.0
"""Seconds between two signs of life where the output is no terminal."""


class ConsoleProgress:
    """A `qfx_plugin.demo.progress.DemoProgress` for people; use it in a `with` block.

    Finished stages stay as lines with their time; the running one has a bar if the output is a
    terminal, and elsewhere a line every half minute.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name = ""
        self._start = 0.0
        self._note = ""
        self._task: TaskID | None = None
        self._ended = threading.Event()
        self._bars = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> ConsoleProgress:
        if self._console.is_terminal:
            self._bars.start()
        else:
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if error is None:
            self._finish()
        if self._console.is_terminal:  # elsewhere it would print an empty line
            self._bars.stop()

    def stage(self, name: str) -> None:
        """Finish the stage before, and begin this one."""
        self._finish()
        self._name, self._note, self._start = name, "", time.monotonic()
        self._task = self._bars.add_task(name, total=None, note="")

    def step(self, done: int, total: int, note: str = "") -> None:
        """Move the bar of the current stage."""
        self._note = note
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, note=note)

    def _finish(self) -> None:
        if self._task is None:
            return
        self._bars.remove_task(self._task)
        self._task = None
        self._say()

    def _beat(self) -> None:
        while not self._ended.wait(EVERY):
            if self._task is not None and time.monotonic() - self._start >= EVERY:
                self._say(" so far")

    def _say(self, state: str = "") -> None:
        elapsed = seconds(time.monotonic() - self._start) + state
        line = f"  {self._name}  {elapsed}" + (f"  {self._note}" if self._note else "")
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
