"""A build as terminal tables."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from qfx_plugin.report import build_text, text
from qfx_plugin.report.build_model import BuildReport, ResourceUse, verdict

_BAR = 24


def print_build(report: BuildReport, console: Console | None = None) -> None:
    """Print `report`, by default on standard output."""
    (console or Console()).print(render_build(report))


def render_build(report: BuildReport) -> RenderableType:
    """The tables and the closing sentences; what matters most comes last."""
    parts: list[RenderableType] = [_steps(report)]
    parts += [_formats(report)] if report.formats else []
    parts += [_resources(report, use) for use in report.resources]
    parts += [_timing(report)] if report.timing else []
    parts += [_agreement(report)] if report.agreement else []
    parts += [Text(f"checked: {line}") for line in report.checks]
    parts += [Text(f"missing: {line}", style="yellow") for line in report.missing]
    parts += [Text(line) for line in build_text.closing(report)]
    style = "bold green" if report.proven else "bold red" if report.failed else "bold yellow"
    return Group(*parts, Text(verdict(report), style=style))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in columns:
        table.add_column(Text(name), overflow="fold")  # nothing is cut where it is narrow
    return table


def _steps(report: BuildReport) -> Table:
    title = f"{report.model} → {report.target}, {report.board}, {report.clock_mhz:g} MHz"
    table = _table(title, "", "step", "time", "what it does")
    for step in report.steps:
        mark = Text("✓", style="green") if step.done else Text("–", style="yellow")
        time = text.seconds(step.seconds) if step.done else text.NOTHING
        table.add_row(mark, Text(step.name), time, Text(step.about))
    return table


def _formats(report: BuildReport) -> Table:
    table = _table("Learned formats", "tensor", "format", "largest value, proven", "of the range")
    for entry in report.formats:
        reach = text.NOTHING if entry.largest is None else f"{entry.largest:.4g}"
        used = text.NOTHING if entry.used is None else f"{100 * entry.used:.0f} %"
        table.add_row(Text(entry.tensor), Text(entry.summary), reach, used)
    return table


def _resources(report: BuildReport, use: ResourceUse) -> Table:
    title = f"Resources of {report.board}: {use.source} ({build_text.kind(use.source)})"
    table = _table(title, "", "used", "of", "", "")
    for name, title in build_text.PIECES.items():
        if name in use.used:
            part = report.share(use, name)
            filled = 0 if part is None else min(_BAR, round(part * _BAR))
            style = "red" if part is not None and part > 1 else "blue"
            table.add_row(
                title,
                build_text.pieces(use.used[name]),
                build_text.pieces(report.capacity.get(name, 0)),
                Text("█" * filled + "·" * (_BAR - filled), style=style),
                build_text.share(part),
            )
    return table


def _timing(report: BuildReport) -> Table:
    table = _table("Timing and work", "source", "figure", "value")
    for entry in report.timing:
        figures = build_text.timing(entry)
        for index, (name, value) in enumerate(figures):
            source = str(entry.get("source", "")) if index == 0 else ""
            table.add_row(Text(source), name, value, end_section=index == len(figures) - 1)
    return table


def _agreement(report: BuildReport) -> Table:
    table = _table("Integer codes equal to the interpreter's", "executor", "samples", "codes")
    for entry in report.agreement:
        style = "bold red" if entry.differing else "green" if entry.compared else "yellow"
        table.add_row(
            Text(entry.executor), text.count(entry.samples), Text(text.agreement(entry), style)
        )
    return table
