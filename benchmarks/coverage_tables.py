"""The tables of `docs/coverage.md`, from `results/coverage.json`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from common import RESULTS

GROUPS = {"torchvision": "torchvision", "timm": "timm", "zoo": "the zoo"}
_NAMED = re.compile(r"^[\w./: ,]+?: |'[^']*'|\([\w.]+\.py:\d+\)|; so (is|are) .*")


def coverage() -> Iterator[str]:
    """How many of each group are exact, by column."""
    found = {group: _rows(group) for group in GROUPS}
    columns = list(
        dict.fromkeys(column for rows in found.values() for c in rows for column in c[1])
    )
    yield line("networks", *columns)
    yield line(*["---"] * (len(columns) + 1))
    for group, rows in found.items():
        cells = []
        for column in columns:
            asked = [own[column] for _, own in rows if column in own]
            right = sum(isinstance(cell, int) for cell in asked)
            cells.append(f"{right} of {len(asked)}" if asked else "")
        yield line(GROUPS[group], *cells)


def group_table(group: str) -> Iterator[str]:
    """A line a network; below, the reasons of what is not exact, by number."""
    rows = _rows(group)
    columns = list(dict.fromkeys(column for _, own in rows for column in own))
    reasons: dict[str, int] = {}
    yield line("network", *columns)
    yield line(*["---"] * (len(columns) + 1))
    for name, own in rows:
        cells = []
        for column in columns:
            cell = own.get(column)
            if isinstance(cell, str) and cell:
                number = reasons.setdefault(f"`{name}`, {column}: `{cell}`", len(reasons) + 1)
                cells.append(f"– ({number})")
            else:
                cells.append("" if cell is None else "–" if cell == "" else "yes")
        yield line(f"`{name}`", *cells)
    if reasons:
        yield ""
    for text, number in reasons.items():
        yield f"{number}. {text.replace('|', '/')}"


def kinds() -> Iterator[str]:
    """Reasons without the names in them, most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for group in GROUPS:
        for _, own in _rows(group):
            for column, cell in own.items():
                if isinstance(cell, str) and cell:
                    counts[column, _NAMED.sub("", cell).strip()] += 1
    yield line("networks", "column", "reason")
    yield line(*["---"] * 3)
    for (column, text), count in counts.most_common():
        yield line(str(count), column, f"`{text.replace('|', '/')}`")


def _rows(group: str) -> list[tuple[str, dict[str, int | str]]]:
    rows = json.loads((RESULTS / "coverage.json").read_text(encoding="utf-8"))["rows"]
    return [(n.split(":")[1], own) for n, own in rows.items() if n.startswith(f"{group}:")]


def line(*cells: str) -> str:
    """Of a Markdown table."""
    return f"| {' | '.join(cells)} |"


TABLES: dict[str, Callable[[], Iterator[str]]] = {"coverage": coverage, "coverage_kinds": kinds} | {
    f"coverage_{group}": partial(group_table, group) for group in GROUPS
}
