"""What all HTML reports share: the document, its sections and tables."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from qfx_plugin.report.markup import Child, Markup, tag


def document(title: str, main: Markup) -> str:
    """A whole HTML file that needs nothing else."""
    style = files("qfx_plugin.report").joinpath("templates/demo.css").read_text("utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', main), lang='en')}\n"


def section(title: str, introduction: str | None, *content: Child) -> Markup:
    """A headline, a sentence, and what follows."""
    return tag(
        "section",
        tag("h2", title),
        tag("p", introduction, class_="facts") if introduction else None,
        content,
    )


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Child]], starts: Sequence[bool] = ()
) -> Markup:
    """A table whose first column is the row's name; `starts` marks rows that begin a group."""
    starts = starts or [False] * len(rows)
    head = tag("tr", [tag("th", name, scope="col") for name in columns])
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            [tag("td", cell) for cell in row[1:]],
            class_="start" if start and position else None,
        )
        for position, (row, start) in enumerate(zip(rows, starts, strict=True))
    ]
    whole = tag("table", tag("thead", head), tag("tbody", body))
    return tag("div", whole, class_="scroll")
