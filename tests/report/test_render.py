"""Terminal and HTML: complete, escaped, and without anything from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from brevitas_quantizers.fixed_point.format import FixedPointFormat
from qfx_plugin.report import LearnedFormat, print_report, render_html, text, write_html
from qfx_plugin.report.charts import error_chart, exponent_range, format_chart
from qfx_plugin.report.markup import Markup, tag
from tests.report.sample import make_report


def printed(report, width=200) -> str:
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        print_report(report, console)
    return capture.get()


def test_terminal_shows_every_number():
    output = printed(make_report())
    lines = [re.sub(r"[│\s]+", " ", line).strip() for line in output.splitlines()]
    assert "MLP, QFX 6-bit 96.89 % 0.22 6 / 6 – 20.8 kbit" in lines
    assert "CNN, QFX 8-bit, K=2 98.66 % −0.22 8 / 8 2 27.7 kbit" in lines
    assert "MLP, QFX 8-bit ✓ 4,500 ✓ 4,500 ✓ 4,500" in lines
    assert "CNN, QFX 8-bit, K=2 ✓ 4,500 not compared –" in lines
    assert "MLP, QFX 8-bit 11.9 s 0.41 s 16.3 s 41.0 s" in lines
    assert any(line.startswith("1.weight 4 × fixed<8,-2..1>") for line in lines)
    assert lines[-1].endswith("Not compared: 1 of 23.")


def test_terminal_fits_80_columns():
    assert max(len(line) for line in printed(make_report(), width=80).splitlines()) <= 80


def test_terminal_shows_differences():
    output = printed(make_report(differing=3))
    assert "3 of 4,500 codes differ" in output
    assert output.rstrip().endswith("21 of 99,000 integer codes differ.")


def test_terminal_does_not_read_names_as_rich_markup():
    report = make_report()
    odd = replace(report.models[0], name="[red]MLP[/red]")
    assert "[red]MLP[/red]" in printed(replace(report, models=(odd,)))


class Checker(HTMLParser):
    """Refuses elements left open, and collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag in ("script", "link", "img", "iframe"):
            self.fetched.append(tag)
        self.fetched += [name for name, _ in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_whole_and_self_contained(tmp_path):
    path = write_html(make_report(), tmp_path / "new" / "report.html")
    content = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(content)
    assert checker.open == []
    assert checker.fetched == []
    assert "url(" not in content and "@import" not in content and "://" not in content


def test_html_shows_every_number():
    content = render_html(make_report())
    for expected in (
        "QFX demo: digits", "96.89 %", "−0.22", "27.7 kbit", "4,500 codes equal", "14.8 s",
        "needs more than 24 bits", "4 × ap_fixed&lt;8,-2..1&gt;", "2.12.1", "Samples: 450.",
        'class="verdict good"',
    ):  # fmt: skip
        assert expected in content, expected


def test_html_shows_differences():
    content = render_html(make_report(differing=3))
    assert 'class="verdict bad"' in content
    assert 'class="mark bad"' in content


def test_html_escapes_everything():
    report = make_report()
    evil = '<script>alert("x")</script>&'
    model = replace(report.models[1], name=evil, stages={evil: 1.0})
    report = replace(report, models=(model,), environment={evil: evil})
    report = replace(report, dataset=replace(report.dataset, name=evil, source=evil))
    content = render_html(report)
    assert "<script" not in content
    assert "&lt;script&gt;" in content


def test_html_of_a_float_network_alone():
    report = make_report()
    content = render_html(replace(report, models=report.models[:1], environment={}))
    assert "Learned formats" not in content and "Environment" not in content


def test_tag():
    assert tag("p", "a < b", class_="x", data_y=None) == '<p class="x">a &lt; b</p>'
    assert tag("rect", stroke_width=2) == '<rect stroke-width="2"/>'
    assert tag("p", [Markup("<b>bold</b>"), None, 3]) == "<p><b>bold</b>3</p>"
    assert tag("meta", name='"') == '<meta name="&quot;">'


def rectangles(svg: str) -> list[tuple[str, float, float]]:
    """(class, x, width) of every rectangle."""
    return [
        (e.get("class"), float(e.get("x")), float(e.get("width")))
        for e in ElementTree.fromstring(svg).iter("rect")
    ]


def test_error_bars_start_at_zero_and_are_to_scale():
    bars = rectangles(error_chart(make_report().models))
    assert len({x for _, x, _ in bars}) == 1
    assert bars[0][0] == "bar float" and bars[1][0] == "bar"
    assert bars[3][2] / bars[0][2] == pytest.approx(4.45 / 2.89, rel=1e-3)


def test_error_bars_of_perfect_networks():
    models = [replace(model, accuracy=100.0) for model in make_report().models]
    assert len(rectangles(error_chart(models))) == 10


def test_format_cells():
    plain = LearnedFormat.of("a", FixedPointFormat(6, 2))
    assert [kind for kind, _, _ in rectangles(format_chart([plain], (-4, 2)))] == [
        *["bit"] * 5,
        "sign",
    ]
    channels = LearnedFormat.of("b", [FixedPointFormat(4, 1, False), FixedPointFormat(4, 0, False)])
    assert [kind for kind, _, _ in rectangles(format_chart([channels], (-4, 2)))] == [
        "bit some",
        *["bit"] * 3,
        "bit some",
    ]


@pytest.mark.parametrize(
    ("fmt", "span"),
    [
        (FixedPointFormat(6, 2), (-4, 2)),
        (FixedPointFormat(4, 8), (-1, 8)),
        (FixedPointFormat(4, -8), (-12, 1)),
    ],
)
def test_exponent_range_holds_zero(fmt, span):
    assert exponent_range([LearnedFormat.of("a", fmt)]) == span


def test_wide_formats_still_fit():
    wide = LearnedFormat.of("a", FixedPointFormat(200, 100))
    svg = format_chart([wide], exponent_range([wide]))
    assert all(x > 0 and x + width <= 760 for _, x, width in rectangles(svg))


def test_what_was_left_out_is_told_once():
    report = make_report()
    (reason,) = text.left_out(report)
    assert reason == "qonnx: needs more than 24 bits (CNN, QFX 8-bit, K=2)"
    assert f"<li>{reason}</li>" in render_html(report)
    assert text.left_out(replace(report, models=report.models[:3])) == []
