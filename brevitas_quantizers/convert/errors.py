"""Everything that stands in the way of a conversion, collected and reported at once."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import torch
from torch import fx

from brevitas_quantizers.fixed_point import ConversionError

_SHOWN = 2
_NUMBER = re.compile(r"_\d+$")
_VALUE = re.compile(r"'[^']*'|\[[^\]]*\]|-?\d[\d.]*(e-?\d+)?|\b\w+(\.\w+)*\.(weight|bias)\b")
"""What differs between two refusals of one kind: names, sizes, numbers."""
_HIDDEN = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


class Problems:
    """Collects what cannot be converted; one line for each kind: who, why, where it is called."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._kinds: dict[tuple[str, str], dict[str, str]] = {}

    def add(self, who: str, reason: str, node: fx.Node | None = None) -> None:
        """Note that `who`, called at `node`, cannot be converted."""
        site = call_site(node) if node is not None else None
        name = _NUMBER.sub("", who.rpartition(".")[2]) if node is not None else ""
        of_module = node is not None and node.op == "call_module"
        kind = ("" if of_module else name, _VALUE.sub("", reason))
        found = self._kinds.setdefault(kind, {})
        found.setdefault(who, f"{reason}" + (f" ({site})" if site else ""))

    def raise_if_any(self) -> None:
        """Report all of them.

        Raises:
            ConversionError: there is at least one.
        """
        if self._kinds:
            count = sum(map(len, self._kinds.values()))
            kinds = f" of {len(self._kinds)} kinds" if count > len(self._kinds) else ""
            raise ConversionError(
                f"{self._model}: {count} operation(s){kinds} cannot be converted to fixed point:\n"
                + "\n".join(f"  {_line(found)}" for found in self._kinds.values())
            )


def _line(found: dict[str, str]) -> str:
    names = list(found)
    line = f"{names[0]}: {found[names[0]]}"
    if len(names) == 1:
        return line
    shown = ", ".join(names[1 : 1 + _SHOWN])
    more = f" and {len(names) - 1 - _SHOWN} more" if len(names) > 1 + _SHOWN else ""
    return f"{line}; so are {shown}{more}"


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
