"""The demo's result as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qfx_plugin.files import write_file
from qfx_plugin.report import text
from qfx_plugin.report.charts import error_chart, exponent_range, format_chart
from qfx_plugin.report.markup import Child, Markup, tag
from qfx_plugin.report.model import DemoReport, ExecutorAgreement, ModelResult
from qfx_plugin.report.page import document, section, table


def write_html(report: DemoReport, path: str | Path) -> Path:
    """Write `report` to `path`; folders are made.

    Returns:
        The path written.

    Raises:
        DataError: it cannot be written.
    """
    return write_file(path, render_html(report))


def render_html(report: DemoReport) -> str:
    """The whole document."""
    title = f"QFX demo: {report.dataset.name}"
    main = tag(
        "main",
        _header(title, report),
        _accuracy(report),
        _agreement(report),
        _formats(report),
        _stages(report),
        _environment(report),
    )
    return document(title, main)


def _header(title: str, report: DemoReport) -> Markup:
    data = report.dataset
    shape = " × ".join(str(size) for size in data.image_shape)
    facts = (
        f"{text.count(data.train_samples)} training and {text.count(data.test_samples)} test "
        f"images, {shape}, {data.classes} classes. Seed {report.seed}. "
        f"{text.seconds(report.seconds)} in all."
    )
    return tag(
        "header",
        tag("h1", title),
        tag("p", facts, class_="facts"),
        tag("p", data.source, class_="facts") if data.source else None,
        tag("p", text.verdict(report), class_=f"verdict {'good' if report.proven else 'bad'}"),
    )


def _accuracy(report: DemoReport) -> Markup:
    rows = [
        [
            model.name,
            text.percent(model.accuracy),
            text.points(report.drop(model)),
            text.bits(model),
            text.k_hot(model),
            text.size(model.size_bits),
        ]
        for model in report.models
    ]
    columns = ("model", "accuracy", "points lost", "bits, weight / act.", "K", "weights and biases")
    return section(
        "Accuracy",
        "On the test split; points lost against the float network of the same shape and epochs.",
        table(columns, rows, starts=[model.is_float for model in report.models]),
        tag("h3", "Test error"),
        tag("figure", error_chart(report.models)),
    )


def _agreement(report: DemoReport) -> Markup | None:
    models = [model for model in report.models if model.agreement]
    if not models:
        return None
    names = text.executors(report)
    rows = [[model.name, *_agreement_cells(model, names)] for model in models]
    samples = {entry.samples for model in models for entry in model.agreement}
    span = " to ".join(text.count(bound) for bound in sorted({min(samples), max(samples)}))
    return section(
        "Agreement",
        "Integer codes of the logits, and of all tensors inside that the executor shows, "
        f"against the integer interpreter. Equal means equal integers. Samples: {span}.",
        table(("model", *names), rows),
        _left_out(report),
    )


def _left_out(report: DemoReport) -> list[Child]:
    reasons = text.left_out(report)
    if not reasons:
        return []
    lines = [tag("li", reason) for reason in reasons]
    return [tag("h3", "Not compared, and why"), tag("ul", lines)]


def _agreement_cells(model: ModelResult, names: Iterable[str]) -> list[Child]:
    entries = {entry.executor: entry for entry in model.agreement}
    return [_agreement_cell(entries.get(name)) for name in names]


def _agreement_cell(entry: ExecutorAgreement | None) -> Child:
    if entry is None:
        return text.NOTHING
    kind = "none" if entry.compared == 0 else "bad" if entry.differing else "good"
    details = [] if entry.compared == 0 else [text.seconds(entry.seconds)]
    details += [entry.note] if entry.note and entry.compared else []
    return [
        tag("span", text.agreement(entry), class_=f"mark {kind}"),
        tag("small", ", ".join(details)) if details else None,
    ]


def _formats(report: DemoReport) -> Markup | None:
    models = [model for model in report.models if model.formats]
    if not models:
        return None
    span = exponent_range([entry for model in models for entry in model.formats])
    return section(
        "Learned formats",
        "Every bit at the power of two that it weighs: the left end is the LSB, the right end the "
        "range. Training chose the position; the axis is the same for all networks.",
        format_legend(" on the test images" if _looked(models) else None),
        [
            tag("figure", tag("figcaption", model.name), format_chart(model.formats, span))
            for model in models
        ],
    )


def _looked(models: Iterable[ModelResult]) -> bool:
    return any(entry.largest is not None for model in models for entry in model.formats)


def format_legend(reached: str | None = None) -> Markup:
    """What the marks in a picture of formats mean.

    Args:
        reached: what the marks of largest values say, such as " of the test images"; None if there
            are none.
    """
    return tag(
        "p",
        [
            (tag("span", tag("span", class_=f"key {kind}"), f" {meaning}", class_="entry"), " ")
            for kind, meaning in (
                ("bit", "a bit"),
                ("some", "a bit of some channels"),
                ("sign", "sign"),
                ("point", "binary point"),
                *((("reach", f"largest value{reached}"),) if reached is not None else ()),
            )
        ],
        class_="legend",
    )


def _stages(report: DemoReport) -> Markup | None:
    names = text.stages(report)
    if not names:
        return None
    rows: list[list[Child]] = [
        [model.name, *(_stage_cell(model.stages.get(name)) for name in names)]
        for model in report.models
    ]
    totals = [sum(model.stages.get(name, 0.0) for model in report.models) for name in names]
    rows.append(["all", *(text.seconds(total) for total in totals)])
    starts = [False] * len(report.models) + [True]
    return section("Time", None, table(("model", *names), rows, starts=starts))


def _stage_cell(time: float | None) -> str:
    return text.NOTHING if time is None else text.seconds(time)


def _environment(report: DemoReport) -> Markup | None:
    if not report.environment:
        return None
    entries = [
        tag("div", tag("dt", name), tag("dd", version))
        for name, version in report.environment.items()
    ]
    return section("Environment", None, tag("dl", entries))
