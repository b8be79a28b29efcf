"""What the benchmarks share: tables, results as JSON, and the machine they ran on."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
EXECUTORS = {
    "torch": "PyTorch, at every quantizer",
    "qonnx": "QONNX executor",
    "onnxruntime": "onnxruntime",
    "hls4ml": "hls4ml C simulation",
    "finn": "FINN",
    "rtl": "RTL",
}
"""What tables call them."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser that prints the module's docstring as it is."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def environment() -> dict[str, Any]:
    """Versions and machine, for the reader of a result."""
    packages = ("torch", "brevitas", "numpy")
    return {
        "versions": {name: metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows that share their keys, aligned."""
    table = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    for line in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(line)} |"


def codes(
    model: Any, x: Any, executors: list[str], limits: dict[str, int], **options: Any
) -> dict[str, Any]:
    """Codes that differ from the interpreter's, by executor: all samples, or so many of them."""
    from qfx_plugin import verify_agreement

    report = verify_agreement(model, x, executors=executors, limits=limits, **options)
    print(report, flush=True)
    return {
        entry.name: {
            "samples": entry.samples, "codes": entry.codes, "differing": entry.differing
        }
        for entry in report.executors
        if entry.ran
    }  # fmt: skip


def write_results(name: str, results: dict[str, Any]) -> Path:
    """Write `benchmarks/results/<name>.json`; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return path
