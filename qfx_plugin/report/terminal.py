"""The demo's result as terminal tables."""

from __future__ import annotations

import os

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from qfx_plugin.report import text
from qfx_plugin.report.model import DemoReport, ExecutorAgreement, ModelResult


def print_report(report: DemoReport, console: Console | None = None) -> None:
    """Print `report` as tables.

    Args:
        report: what the demo found.
        console: where to; standard output by default.
    """
    (console or Console()).print(render(report))


def render(report: DemoReport) -> RenderableType:
    """The tables and the closing sentence, for any rich console; what matters most comes last."""
    return Group(
        *(_formats(group) for group in text.groups(report) if any(m.formats for m in group)),
        _stages(report),
        _agreement(report),
        *(Text(f"not compared: {line}", style="yellow") for line in text.left_out(report)),
        _accuracy(report),
        Text(text.verdict(report), style="bold green" if report.proven else "bold red"),
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for position, name in enumerate(columns):
        justify: JustifyMethod = "right" if position else "left"
        table.add_column(Text(name), justify=justify, overflow="fold")  # cut nothing
    return table


def _formats(group: list[ModelResult]) -> Table:
    """Tensors of one network down, its models across."""
    models = [model for model in group if model.formats]
    common = os.path.commonprefix([model.name for model in models]) if len(models) > 1 else ""
    common = common[: common.rfind(" ") + 1]
    names = [model.name[len(common) :] for model in models]
    table = _table(f"Learned formats: {common.rstrip(' ,') or 'all networks'}", "tensor", *names)
    for column in table.columns[1:]:
        column.justify = "left"
    learned = [{entry.tensor: entry.summary for entry in model.formats} for model in models]
    for tensor in dict.fromkeys(tensor for formats in learned for tensor in formats):
        cells = (formats.get(tensor, text.NOTHING) for formats in learned)
        table.add_row(Text(tensor), *(Text(cell.replace("ap_", "")) for cell in cells))
    return table


def _accuracy(report: DemoReport) -> Table:
    data = report.dataset
    table = _table(
        f"{data.name}: {text.count(data.test_samples)} test images, seed {report.seed}",
        "model", "accuracy", "lost", "bits w/a", "K", "size",
    )  # fmt: skip
    for group in text.groups(report):
        for model in group:
            table.add_row(
                Text(model.name),
                text.percent(model.accuracy),
                text.points(report.drop(model)),
                text.bits(model),
                text.k_hot(model),
                text.size(model.size_bits),
                end_section=model is group[-1],
            )
    return table


def _agreement(report: DemoReport) -> Table:
    names = text.executors(report)
    table = _table("Integer codes equal to the interpreter's", "model", *names)
    for model in report.models:
        entries = {entry.executor: entry for entry in model.agreement}
        if entries:
            table.add_row(Text(model.name), *(_agreement_cell(entries.get(name)) for name in names))
    return table


def _agreement_cell(entry: ExecutorAgreement | None) -> Text:
    if entry is None:
        return Text(text.NOTHING)
    if entry.compared == 0:
        return Text("not compared", style="yellow")
    if entry.differing:
        return Text(text.agreement(entry), style="bold red")
    return Text(f"✓ {text.count(entry.compared)}", style="green")


def _stages(report: DemoReport) -> Table:
    names = text.stages(report)
    table = _table(f"Time: {text.seconds(report.seconds)} in all", "model", *names)
    for model in report.models:
        times = (model.stages.get(name) for name in names)
        cells = (text.NOTHING if time is None else text.seconds(time) for time in times)
        table.add_row(Text(model.name), *cells)
    return table
