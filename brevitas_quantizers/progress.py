"""How far a long training is, on a terminal."""

from __future__ import annotations

import sys

_WIDTH = 24


def show_progress(done: int, total: int, text: str) -> None:
    """Draw a bar on stderr over the one before it, if that is a terminal.

    Args:
        done: steps or epochs done.
        total: of them all; the last one ends the line.
        text: what stands behind the bar.
    """
    if not sys.stderr.isatty():
        return
    filled = _WIDTH * done // total
    bar = f"\r[{'=' * filled}{' ' * (_WIDTH - filled)}] {done}/{total} {text} "
    sys.stderr.write(bar + ("\n" if done == total else ""))
    sys.stderr.flush()
