"""Everything that stands in the way of a conversion, collected and reported at once."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import torch
from torch import fx

from brevitas_quantizers.fixed_point import ConversionError

_HIDDEN = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


class Problems:
    """Collects what cannot be converted; one line each: who, why, where it is called."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._lines: dict[str, None] = {}

    def add(self, who: str, reason: str, node: fx.Node | None = None) -> None:
        """Note that `who`, called at `node`, cannot be converted."""
        site = call_site(node) if node is not None else None
        self._lines[f"{who}: {reason}" + (f" ({site})" if site else "")] = None

    def raise_if_any(self) -> None:
        """Report all of them.

        Raises:
            ConversionError: there is at least one.
        """
        if self._lines:
            raise ConversionError(
                f"{self._model}: {len(self._lines)} operation(s) cannot be converted to fixed "
                "point:\n" + "\n".join(f"  {line}" for line in self._lines)
            )


def call_site(node: fx.Node) -> str | None:
    """`file:line` of the innermost user code that called `node`, if the trace has it."""
    frames = []
    for line in (node.stack_trace or "").splitlines():
        parts = line.strip().split(", ")
        if parts[0].startswith('File "') and len(parts) >= 3 and parts[1].startswith("line "):
            frames.append((parts[0][len('File "') : -1], int(parts[1][len("line ") :])))
    return _innermost(frames)


def raise_site(where: TracebackType | None) -> str | None:
    """`file:line` of the innermost user code on the way to an exception."""
    return _innermost((frame.filename, frame.lineno) for frame in traceback.extract_tb(where))


def _innermost(frames: Iterable[tuple[str, int | None]]) -> str | None:
    users = [
        f"{Path(name).name}:{line}"
        for name, line in frames
        if not name.startswith(_HIDDEN) and not name.startswith("<")
    ]
    return users[-1] if users else None
