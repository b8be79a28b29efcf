"""Tables of `results/vit.json`; see vit.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from statistics import mean
from typing import Any

from common import RESULTS
from coverage_tables import line

TITLES = {
    "torch": "PyTorch", "qonnx": "QONNX executor", "onnxruntime": "onnxruntime",
    "hls4ml": "hls4ml", "rtl": "Verilog",
}  # fmt: skip


def vit() -> Iterator[str]:
    """Accuracy of each network, means over seeds."""
    rows = _results()["rows"]
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
    return _table(("network", "calibrated", "trained", "steps", "seeds"), lines)


def vit_codes() -> Iterator[str]:
    """Codes compared with the interpreter, and how many of them differ."""
    lines = [
        (name, TITLES[executor], f"{one['samples']:,}", f"{one['codes']:,}", str(one["differing"]))
        for name, found in _results()["codes"].items()
        for executor, one in found.items()
    ]
    return _table(("network", "executor", "images", "codes", "different"), lines)


def vit_hardware() -> Iterator[str]:
    """Whole designs by Yosys."""
    columns = ("lut", "ff", "dsp", "bram18", "cycles", "frames a second")
    lines = [
        (name, *(f"{one[column]:,}" for column in columns))
        for name, one in _results()["hardware"].items()
    ]
    head = ("network", "LUT", "FF", "DSP slices", "block RAM, 18 Kbit", "cycles an image",
            "images a second at 200 MHz")  # fmt: skip
    return _table(head, lines)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    return (line(*cells) for cells in (head, ("---",) * len(head), *rows))


def _results() -> Any:
    return json.loads((RESULTS / "vit.json").read_text(encoding="utf-8"))


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    make.__name__: make for make in (vit, vit_codes, vit_hardware)
}
