"""Tables of `results/vit.json`; see vit.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from statistics import mean

from common import RESULTS
from coverage_tables import line


def vit() -> Iterator[str]:
    """Accuracy of each network, means over seeds."""
    rows = json.loads((RESULTS / "vit.json").read_text(encoding="utf-8"))["rows"]
    lines = []
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == name]
        calibrated = [row["calibrated"] for row in own if "calibrated" in row]
        lines.append(
            (
                name,
                f"{mean(calibrated):.2f}" if calibrated else "",
                f"{mean(row['trained'] for row in own):.2f}",
                f"{own[0]['steps']:,}",
                str(len(own)),
            )
        )
    head = ("network", "calibrated", "trained", "steps", "seeds")
    return (line(*cells) for cells in (head, ("---",) * len(head), *lines))


TABLES: dict[str, Callable[[], Iterator[str]]] = {"vit": vit}
