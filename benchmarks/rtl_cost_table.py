"""The networks of `rtl_cost.json` as the tables of `docs/rtl.md`.

python benchmarks/rtl_cost_table.py            print them
python benchmarks/rtl_cost_table.py --write    put them between the marks in docs/rtl.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import RESULTS, parser

PAGE = Path(__file__).parents[1] / "docs" / "rtl.md"
BEGIN, END = "<!-- costs -->\n", "<!-- end of costs -->\n"
HEAD = (
    "accuracy", "unrolled: LUT / FF", "K-hot, or radix 4: LUT / FF / depth",
    "LUT multipliers: LUT / FF / depth", "DSP slices: LUT / FF / DSP / depth",
    "weight memory, bits",
)  # fmt: skip
Row = dict[str, Any]


def tables(rows: list[Row]) -> str:
    """One table a network, one line a recipe; an empty cell was not built or makes no sense."""
    return "\n".join(
        line
        for name in dict.fromkeys(row["network"] for row in rows)
        for line in _table(name, [row for row in rows if row["network"] == name])
    )


def _table(name: str, rows: list[Row]) -> Iterator[str]:
    cycles = max(row["cycles"] for row in rows if row["hardware"].startswith("folded"))
    lanes = next(row["note"] for row in rows if row["hardware"].startswith("folded"))
    yield f"| {name}: folded, {cycles:,} cycles a sample, {lanes} | {' | '.join(HEAD)} |"
    yield "| --- " * (len(HEAD) + 1) + "|"
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        found = {row["hardware"]: row for row in rows if row["recipe"] == recipe}
        own = found.get("folded, K-hot") or found.get("folded, radix 4")
        cells = (
            recipe,
            f"{next(iter(found.values()))['accuracy']:.1f} %",
            _cell(found.get("unrolled adder graph"), "lut", "ff"),
            _cell(own, "lut", "ff", "depth"),
            _cell(found.get("folded, LUT multipliers"), "lut", "ff", "depth"),
            _cell(found.get("folded, DSP"), "lut", "ff", "dsp", "depth"),
            _cell(own, "weight_bits"),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _cell(row: Row | None, *columns: str) -> str:
    if row is None or row["lut"] is None:
        return ""
    return " / ".join(f"{row[column]:,}" for column in columns)


def main() -> None:
    """Print the tables, or write them."""
    arguments = parser(__doc__)
    arguments.add_argument("--write", action="store_true", help="into docs/rtl.md")
    options = arguments.parse_args()
    text = tables(json.loads((RESULTS / "rtl_cost.json").read_text(encoding="utf-8"))["networks"])
    if not options.write:
        print(text)
        return
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(before + BEGIN + text + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
