"""Tables of `results/pnr.json`; see pnr.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from common import RESULTS, table


def pnr() -> Iterator[str]:
    """Networks of digits as bitstreams: what they take of a board, reach and cost to make."""
    head = (
        "network, board", "right", "LUT", "FF", "asked", "routed", "samples/s", "bitstream",
        "processor time", "memory",
    )  # fmt: skip
    rows = json.loads((RESULTS / "pnr.json").read_text(encoding="utf-8"))["rows"]
    return table(head, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    used, have = row["used"], row["capacity"]
    return (
        row["design"],
        f"{row['accuracy']:.1f} %",
        *(f"{used[k]:,g} ({100 * used[k] / have[k]:.0f} %)" for k in ("lut", "ff")),
        f"{row['clock_mhz']:g} MHz",
        f"{row['routed_mhz']:.1f} MHz",
        f"{row['samples_per_second'] / 1e6:.3g} M",
        f"{row['bytes']:,} bytes",
        f"{row['processor_seconds']} s",
        f"{row['peak_gb']:.1f} GB",
    )


TABLES: dict[str, Callable[[], Iterator[str]]] = {"pnr": pnr}
