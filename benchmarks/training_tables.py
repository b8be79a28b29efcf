"""Tables of networks that are trained, or reconstructed after training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from statistics import mean
from typing import Any

from common import RESULTS, table

Row = dict[str, Any]


def reconstruction() -> Iterator[str]:
    """Accuracy of the CIFAR-10 ResNet-20 without labels: means over seeds."""
    rows = _read("reconstruct")["rows"]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((-row["bits"], -row["act_bits"], row["block"] or 0), []).append(row)
    lines = []
    for (bits, act_bits, block), own in sorted(groups.items()):
        plain = [row["calibrated"] for row in own if not row["steps"]]
        found = [row for row in own if row["steps"]]
        lines.append(
            (
                f"{-bits}, {-act_bits}",
                f"blocks of {block}" if block else "channels",
                f"{own[0]['float']:.2f}",
                f"{mean(plain):.2f}" if plain else "",
                f"{mean(row['reconstructed'] for row in found):.2f}" if found else "",
                f"{min(row['reconstructed'] for row in found):.2f}" if found else "",
                str(len(found)) if found else "",
                f"{mean(row['minutes'] for row in found):.1f}" if found else "",
            )
        )
    heads = ("bits of weights, activations", "binary points of", "float", "`calibrate`")
    return table((*heads, "`reconstruct`", "worst seed", "seeds", "minutes"), lines)


def plain_optimizers() -> Iterator[str]:
    """Digits CNN by an optimizer's one group against `parameter_groups`: means over seeds."""
    groups: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for row in _read("plain_optimizers")["runs"]:
        key = (row["begin"], row["bits"], row["optimizer"])
        groups.setdefault(key, {}).setdefault(row["groups"], []).append(row)
    lines = []
    for (begin, bits, optimizer), own in sorted(groups.items()):
        plain, apart = own.pop("plain"), next(iter(own.values()))
        lines.append(
            (
                f"{begin}, {bits} bits, {optimizer}",
                *(f"{mean(r['accuracy'] for r in rows):.1f}" for rows in (plain, apart)),
                *(f"{mean(r['weights'] for r in rows):.0f}" for rows in (plain, apart)),
                str(len(plain)),
            )
        )
    heads = ("accuracy, one group", "with groups", "saturated, one group, %", "with groups, %")
    return table(("digits CNN", *heads, "seeds"), lines)


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    make.__name__: make for make in (reconstruction, plain_optimizers)
}
