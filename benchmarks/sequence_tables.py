"""Tables of attention, norms and recurrent layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from statistics import mean
from typing import Any

from common import EXECUTORS, RESULTS, table

Row = dict[str, Any]
_TRAINED = ("float", "float, more epochs", "calibrated", "trained")


def vit() -> Iterator[str]:
    """Accuracy of each network, means over seeds."""
    rows = _results("vit")["rows"]
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
    return table(("network", "calibrated", "trained", "steps", "seeds"), lines)


def vit_codes() -> Iterator[str]:
    """Codes compared with the interpreter, and how many of them differ."""
    return _codes(_results("vit")["codes"].items(), "images")


def vit_peer() -> Iterator[str]:
    """HGQ2's attention, and what its hls4ml conversion computes."""
    lines = []
    for row in _results("vit_peer")["rows"]:
        equal = (f"{row[key]:,} of {row[of]:,}" for key, of in _EQUAL) if "outputs" in row else ()
        cells = (*equal,) or (row["hls4ml"], "")
        lines.append((row["network"], str(row["steps"]), f"{row['accuracy']:.2f}", *cells))
    return table(("HGQ2 0.2.0", "steps", "accuracy", "outputs equal", "classes equal"), lines)


_EQUAL = (("outputs right", "outputs"), ("classes right", "classes"))


def language() -> Iterator[str]:
    """Bits a character of the language model."""
    columns = ("float", "longer", "calibrated", "trained")
    rows = [
        (str(row["seed"]), *(f"{row[name]:.3f}" for name in columns))
        for row in _results("language")["rows"]
    ]
    return table(("seed", "float", "float, more steps", *columns[2:]), rows)


def set_transformer() -> Iterator[str]:
    """Attention over a set."""
    rows = _results("set_transformer")["rows"]
    lines = [(f"{row['bits']} bits", *_figures(row)) for row in rows]
    return table(("operands of products", *_TRAINED), lines)


def attention_codes() -> Iterator[str]:
    """What executors give for the language model, and for the sets."""
    sets = [
        (f"set, {row['bits']} bits", row["codes"]) for row in _results("set_transformer")["rows"]
    ]
    return _codes([("language model", _results("language")["codes"]), *sets])


def recurrence() -> Iterator[str]:
    """Recurrent layers on series."""
    rows = _results("recurrence")["rows"]
    lines = [(r["data"], f"{r['network']}, {r['bits']} bits", *_figures(r)) for r in rows]
    return table(("data", "network", *_TRAINED), lines)


def recurrence_codes() -> Iterator[str]:
    """What executors give for recurrent layers."""
    rows = _results("recurrence")["rows"]
    return _codes((f"{row['data']}, {row['network']}", row["codes"]) for row in rows)


def normalisers() -> Iterator[str]:
    """Softmax, norms and their parts against integers written after the definition."""
    lines = [
        (
            f"{row['function']}, {'every operand' if row['exhaustive'] else 'drawn rows'}",
            f"{row['codes']:,}",
            str(sum(row["different"].values())),
            "" if row["function"] == "inverse root" else f"{row['worst']:.2f}",
            f"{100 * row['part']:.0f} %",
        )
        for row in _results("normalisers")["proof"]
    ]
    head = ("function", "codes, in each executor", "different", "worst, in LSBs", "of the bound")
    return table(head, lines)


def normaliser_cost() -> Iterator[str]:
    """Cells and cycles of units as Verilog."""
    lines = [
        (row["function"], *(f"{row[key]:,}" for key in ("lut", "ff", "dsp", "bram18", "cycles")))
        for row in _results("normalisers")["cost"]
    ]
    head = ("function", "LUT", "FF", "DSP slices", "block RAM, 18 Kbit", "cycles a sample")
    return table(head, lines)


def _results(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _figures(row: Row) -> Iterator[str]:
    return (f"{row[name]:.2f}" for name in _TRAINED)


def _codes(found: Iterable[tuple[str, dict[str, Row]]], samples: str = "samples") -> Iterator[str]:
    """Codes compared with the interpreter, a line for each network and executor."""
    lines = [
        (name, EXECUTORS[executor], *(f"{row[key]:,}" for key in ("samples", "codes", "differing")))
        for name, codes in found
        for executor, row in codes.items()
    ]
    return table(("network", "executor", samples, "codes", "different"), lines)


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    make.__name__: make
    for make in (
        vit,
        vit_codes,
        vit_peer,
        language,
        set_transformer,
        attention_codes,
        recurrence,
        recurrence_codes,
        normalisers,
        normaliser_cost,
    )
}
