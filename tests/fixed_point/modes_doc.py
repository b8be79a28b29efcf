"""Writes the tables of `docs/modes.md` from the code: `python -m tests.fixed_point.modes_doc`.

A table stands between `<!-- table: name -->` and `<!-- end -->`. The rules are the docstrings of
the enum members, the numbers are casts, the names are the dialect table.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Sequence
from pathlib import Path

from brevitas_quantizers.fixed_point import (
    DIALECTS,
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
    cast_code,
    modes,
    overflow_name,
    rounding_name,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "modes.md"
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_BYTE = FixedPointFormat(8, 8)
_ROUNDED = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, -1.75, 1.25)
_NIBBLES = {
    "overflow_signed": (FixedPointFormat(4, 4), (-17, -9, -8, 7, 8, 9, 16)),
    "overflow_unsigned": (FixedPointFormat(4, 4, signed=False), (-17, -1, 0, 15, 16, 33)),
}


def render(text: str) -> str:
    """The document with every table written anew."""
    tables = {
        "rounding": _rounding,
        "overflow_rules": _overflow_rules,
        "overflow_signed": lambda: _overflow("overflow_signed"),
        "overflow_unsigned": lambda: _overflow("overflow_unsigned"),
        "rounding_names": lambda: _names(RoundingMode, rounding_name),
        "overflow_names": lambda: _names(OverflowMode, overflow_name),
    }
    return _MARKED.sub(lambda match: f"{match[1]}{tables[match[2]]()}{match[3]}", text)


def _rounding() -> str:
    rules = _rules(RoundingMode)
    rows = [
        [f"`{mode}`", rules[mode.name], *(_code(v, mode, OverflowMode.AP_SAT) for v in _ROUNDED)]
        for mode in RoundingMode
    ]
    return _table(["mode", "rule", *(f"{value:g}" for value in _ROUNDED)], rows)


def _overflow_rules() -> str:
    rules = _rules(OverflowMode)
    return _table(["mode", "rule"], [[f"`{mode}`", rules[mode.name]] for mode in OverflowMode])


def _overflow(name: str) -> str:
    fmt, values = _NIBBLES[name]
    rows = [
        [f"`{mode}`", *(_code(value, RoundingMode.AP_TRN, mode, fmt) for value in values)]
        for mode in OverflowMode
    ]
    return _table([f"`{fmt}`", *map(str, values)], rows)


def _names(enum: type[RoundingMode] | type[OverflowMode], name_of: object) -> str:
    assert callable(name_of)
    names = [[name_of(mode, dialect) for dialect in DIALECTS] for mode in enum]
    rows = [[f"`{name}`" if name else "none" for name in row] for row in names]
    return _table(list(DIALECTS), rows)


def _code(
    value: float, rounding: RoundingMode, overflow: OverflowMode, fmt: FixedPointFormat = _BYTE
) -> str:
    return str(cast_code(value, fmt, rounding, overflow))


def _rules(enum: type[RoundingMode] | type[OverflowMode]) -> dict[str, str]:
    """First paragraph of each member's docstring, which Python itself does not keep."""
    tree = ast.parse(inspect.getsource(modes))
    (body,) = [n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == enum.__name__]
    rules = {}
    for member, text in zip(body, body[1:], strict=False):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            rules[ast.unparse(member.targets[0])] = ast.literal_eval(text.value).split("\n\n")[0]
    return rules


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    DOCUMENT.write_text(render(DOCUMENT.read_text()))
