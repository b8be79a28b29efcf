"""A build as one HTML file that needs nothing else."""

from __future__ import annotations

from itertools import starmap
from pathlib import Path

from qfx_plugin.files import write_file
from qfx_plugin.report import build_text, text
from qfx_plugin.report.build_model import BuildReport, verdict
from qfx_plugin.report.charts import exponent_range, format_chart, resource_chart
from qfx_plugin.report.html import format_legend
from qfx_plugin.report.markup import Child, Markup, tag
from qfx_plugin.report.page import document, section, table


def write_build_html(report: BuildReport, path: str | Path) -> Path:
    """Write `report` to `path`; returns the path.

    Raises:
        DataError: it cannot be written.
    """
    return write_file(path, render_build_html(report))


def render_build_html(report: BuildReport) -> str:
    """The whole document."""
    title = f"QFX build: {report.model}"
    main = tag(
        "main",
        _header(title, report),
        _missing(report),
        _agreement(report),
        _resources(report),
        _timing(report),
        _formats(report),
        _checks(report),
        _steps(report),
    )
    return document(title, main)


def _header(title: str, report: BuildReport) -> Markup:
    facts = (
        f"Target {report.target}, board {report.board} ({report.part}), {report.clock_mhz:g} MHz. "
        f"{text.seconds(report.seconds)} in all."
    )
    return tag(
        "header",
        tag("h1", title),
        tag("p", facts, class_="facts"),
        tag("p", verdict(report), class_=f"verdict {'good' if report.proven else 'bad'}"),
    )


def _missing(report: BuildReport) -> Markup | None:
    if not report.missing:
        return None
    lines = [tag("li", line) for line in report.missing]
    return section("What is missing", "And how to get it.", tag("ul", lines))


def _agreement(report: BuildReport) -> Markup | None:
    if not report.agreement:
        return None
    rows: list[list[Child]] = [
        [entry.executor, text.count(entry.samples), _mark(entry.differing, text.agreement(entry))]
        for entry in report.agreement
    ]
    return section(
        "Agreement",
        "Integer codes of the outputs against the integer interpreter. Equal means equal integers.",
        table(("executor", "samples", "codes"), rows),
    )


def _kind(source: str) -> Markup:
    """A label: what kind of figure this is."""
    kind = build_text.kind(source)
    return tag("span", kind, class_="kind" + (" measured" if kind == build_text.MEASURED else ""))


def _mark(differing: int, content: str) -> Markup:
    return tag("span", content, class_=f"mark {'bad' if differing else 'good'}")


def _resources(report: BuildReport) -> Markup | None:
    if not report.resources:
        return None
    charts = []
    for use in report.resources:
        rows = [
            (title, use.used[name], report.capacity.get(name, 0))
            for name, title in build_text.PIECES.items()
            if name in use.used
        ]
        caption = tag("figcaption", use.source, " ", _kind(use.source))
        charts.append(tag("figure", caption, resource_chart(rows)))
    return section(
        "Resources", f"Pieces used, against what {report.board} ({report.part}) has.", charts
    )


def _timing(report: BuildReport) -> Markup | None:
    rows: list[list[Child]] = []
    starts = []
    for entry in report.timing:
        for index, (name, value) in enumerate(build_text.timing(entry)):
            starts.append(index == 0)
            source = str(entry.get("source", ""))
            rows.append([name, value, [source, " ", _kind(source)] if index == 0 else ""])
    if not rows:
        return None
    return section(
        "Timing and work",
        build_text.measured([str(entry.get("source", "")) for entry in report.timing]),
        table(("figure", "value", "source"), rows, starts=starts),
    )


def _formats(report: BuildReport) -> Markup | None:
    if not report.formats:
        return None
    span = exponent_range(report.formats)
    return section(
        "Learned formats",
        "Every bit at the power of two that it weighs: the left end is the LSB, the right end the "
        "range.",
        format_legend(
            ", proven" if any(entry.largest is not None for entry in report.formats) else None
        ),
        tag("figure", format_chart(report.formats, span)),
    )


def _checks(report: BuildReport) -> Markup | None:
    if not report.checks:
        return None
    lines = [tag("li", line) for line in report.checks]
    return section("Checks", "What was checked without the vendor's tools.", tag("ul", lines))


def _steps(report: BuildReport) -> Markup:
    rows: list[list[Child]] = [
        [
            step.name,
            text.seconds(step.seconds) if step.done else text.NOTHING,
            ", ".join(starmap(build_text.tool, step.versions.items())),
        ]
        for step in report.steps
    ]
    return section("Steps", None, table(("step", "time", "tools"), rows))
