"""Writes the table of operations in `docs/ir.md`: `python -m tests.ir.ir_document`.

What an operation computes and gives are the first lines of its docstrings.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from itertools import cycle
from pathlib import Path

from qfx_plugin.ir import OPERATIONS, Op

DOCUMENT = Path(__file__).parents[2] / "docs" / "ir.md"
_MARKED = re.compile(r"(<!-- table: operations -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text: str) -> str:
    """The page with the table written anew."""
    return _MARKED.sub(lambda match: f"{match[1]}{_table()}{match[2]}", text)


def _table() -> str:
    lines = ["| operation | fields | what it computes | result |", "| --- | --- | --- | --- |"]
    shared = {field.name for field in fields(Op)}
    for name, kind in sorted(OPERATIONS.items()):
        own = ", ".join(one.name for one in fields(kind) if one.name not in shared)
        lines.append(f"| `{name}` | {own} | {_first_line(kind)} | {_first_line(kind.result)} |")
    return "\n".join(lines) + "\n"


def _first_line(thing: object) -> str:
    line = (inspect.getdoc(thing) or "").partition("\n")[0].removesuffix(".")
    return "`".join(
        part if code else part.replace("*", r"\*")
        for code, part in zip(cycle((False, True)), line.split("`"))
    )


if __name__ == "__main__":
    DOCUMENT.write_text(render(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
