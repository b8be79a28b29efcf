"""Writes the tables of `docs/support.md` by asking the code: `python -m tests.docs.support_matrix`.

Nothing here knows what is supported. For each operation and mode a small network is made and given
to each target; it is taken, or refused, and the refusal's text goes into the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from brevitas_quantizers.fixed_point import OverflowMode, QfxError, RoundingMode
from qfx_plugin.executors import EXECUTORS
from tests.operations import EXPORT, LAYERS, OPERATIONS, OVERFLOWS, ROUNDINGS, Row, built, targets

DOCUMENT = Path(__file__).parents[2] / "docs" / "support.md"
YES, NO = "yes", "–"
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass
class Table:
    """Rows of yes and no, and the texts of the refusals below it."""

    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    refusals: dict[str, list[str]] = field(default_factory=dict)

    def ask(self, label: str, cells: Mapping[str, Callable[[], object]]) -> None:
        """Add a row: call each cell; a `QfxError` is a refusal."""
        row = [label]
        for column, attempt in cells.items():
            try:
                attempt()
                row.append(YES)
            except QfxError as error:
                row.append(NO)
                text = str(error).splitlines()[0]
                self.refusals.setdefault(text, []).append(f"{label}, {column}")
        self.rows.append(row)

    def __str__(self) -> str:
        lines = [f"| {' | '.join(self.columns)} |", "|" + " --- |" * len(self.columns)]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        if self.refusals:
            lines += ["", "Refused, in these words:", ""]
            lines += [f"- {'; '.join(places)}: `{text}`" for text, places in self.refusals.items()]
        return "\n".join(lines) + "\n"


def tables() -> dict[str, Callable[[], object]]:
    """What makes each table, by its name on the page."""
    return {
        "operations": operations,
        "layers": layers,
        "rounding": rounding,
        "overflow": overflow,
        "export_rounding": export_rounding,
        "export_overflow": export_overflow,
        "executors": executors,
    }


def render(text: str, only: str | None = None) -> str:
    """The page with every table written anew, or one of them."""

    def written(match: re.Match[str]) -> str:
        if only not in (None, match[2]):
            return match[0]
        return f"{match[1]}{tables()[match[2]]()}{match[3]}"

    return _MARKED.sub(written, text)


def operations() -> Table:
    """Each operation of the intermediate model, by target."""
    return _by_target("operation", OPERATIONS)


def layers() -> Table:
    """Each layer of PyTorch, exported, by target."""
    return _by_target("layer", LAYERS, EXPORT)


def rounding() -> Table:
    """Each rounding mode of an activation, by target."""
    return _by_target("rounding", ROUNDINGS)


def overflow() -> Table:
    """Each overflow mode of an activation, by target."""
    return _by_target("overflow", OVERFLOWS)


def export_rounding() -> Table:
    """Each rounding mode of an activation, by target of `export_qonnx`."""
    return _export("rounding", RoundingMode)


def export_overflow() -> Table:
    """Each overflow mode of an activation, by target of `export_qonnx`."""
    return _export("overflow", OverflowMode)


def executors() -> str:
    """What `verify` compares."""
    lines = ["| executor | package | samples | without being named |", "| --- | --- | --- | --- |"]
    for entry in EXECUTORS.values():
        samples = "all" if entry.samples is None else f"the first {entry.samples}"
        default = YES if entry.by_default else "no, it takes long"
        lines.append(f"| `{entry.name}` | {entry.package} | {samples} | {default} |")
    return "\n".join(lines) + "\n"


def _export(option: str, modes: Sequence[RoundingMode] | Sequence[OverflowMode]) -> Table:
    import brevitas.nn as qnn
    import torch

    from brevitas_quantizers import QFXFixedPoint, export_qonnx
    from brevitas_quantizers.qonnx import Reader

    table = Table((option, *(f"`{reader}`" for reader in Reader)))
    x = torch.linspace(-1, 1, 8).reshape(2, 4)
    for mode in modes:
        fixed = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}
        model = torch.nn.Sequential(
            qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=6, rounding="AP_RND"),
            qnn.QuantLinear(4, 4, True, **fixed),
            qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=6, **modes_of(option, mode)),
            qnn.QuantLinear(4, 2, True, **fixed),
        )
        model(x)
        model.eval()
        cells = {
            f"`{reader}`": lambda reader=reader, model=model: export_qonnx(
                model, x[:1], target=reader
            )
            for reader in Reader
        }
        table.ask(f"`{mode}`", cells)
    return table


def modes_of(option: str, mode: RoundingMode | OverflowMode) -> dict[str, str]:
    """A mode and, if it is an overflow mode, a rounding that every target takes."""
    return {"rounding": RoundingMode.AP_RND.value} | {option: mode.value}


def _by_target(kind: str, rows: Sequence[Row], *before: str) -> Table:
    """What each target says to the networks; where there is no file, none is asked."""
    makers = targets()
    table = Table((kind, *before, *makers))
    for row in rows:
        if EXPORT in row.refused:
            table.ask(f"`{row}`", {"export": lambda row=row: row.file})
            table.rows[-1] += [NO] * len(makers)
            continue
        cells = {name: partial(built, row, name) for name in makers}
        table.ask(f"`{row}`", {name: lambda: None for name in before} | cells)
    return table


def main() -> None:
    """Write the page."""
    DOCUMENT.write_text(render(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
