"""A build's report: figures, shares of the board, marks, and nothing that is not escaped."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from brevitas_quantizers.fixed_point import FixedPointFormat
from qfx_plugin.report import (
    BuildReport,
    ExecutorAgreement,
    LearnedFormat,
    ResourceUse,
    StepRow,
    build_text,
    print_build,
    render_build_html,
    write_build_html,
)
from qfx_plugin.report.build_model import verdict

REPORT = BuildReport(
    model="<net>",
    target="hls4ml",
    board="ultra96-v2",
    part="xczu3eg",
    clock_mhz=200.0,
    capacity={"lut": 1000, "dsp": 0, "bram36": 10},
    steps=(
        StepRow("import", "read it", True, 1.5, {"hls4ml": "1.3.0"}),
        StepRow("bitstream", "make it", False),
    ),
    agreement=(ExecutorAgreement("hls4ml C simulation", 100, 1000, 0, 0.0),),
    formats=(LearnedFormat("fc1_w", (FixedPointFormat(8, 1, True),), 0.5),),
    resources=(ResourceUse("Yosys estimate", {"lut": 250, "dsp": 0, "bram36": 12.5}),),
    timing=({"source": "counted", "least_cycles_per_sample": 12},),
    checks=("all files are there",),
    missing=("step bitstream needs Vivado & more",),
)


def printed(report: BuildReport) -> str:
    file = io.StringIO()
    print_build(report, Console(file=file, width=120))
    return file.getvalue()


def test_terminal():
    text = printed(REPORT)
    assert "25.0 %" in text and "125.0 %" in text and "Yosys estimate" in text
    assert "12 cycles" in text and "ap_fixed<8,1>" in text
    assert "checked: all files are there" in text
    assert "missing: step bitstream needs Vivado & more" in text
    assert text.strip().endswith(
        "1,000 integer codes compared with the interpreter, 0 differ (hls4ml C simulation)."
    )


@pytest.mark.parametrize(
    ("changes", "proven", "sentence"),
    [
        ({}, True, "1,000 integer codes compared"),
        ({"agreement": ()}, False, "Nothing was compared yet: nothing is proven."),
        ({"failed": "step x: no"}, False, "The last run failed: step x: no"),
        ({"agreement": (ExecutorAgreement("rtl", 10, 100, 3, 0.0),)}, False,
         "3 of 100 integer codes differ."),
    ],
)  # fmt: skip
def test_verdicts(changes, proven, sentence):
    report = replace(REPORT, **changes)
    assert report.proven is proven
    assert verdict(report).startswith(sentence)
    assert ('class="verdict good"' in render_build_html(report)) is proven


class Structure(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br", "line", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("line", "rect"):
            assert self.open.pop() == tag


def test_html_is_one_sound_file(tmp_path):
    page = write_build_html(REPORT, tmp_path / "r.html").read_text(encoding="utf-8")
    parser = Structure()
    parser.feed(page)
    assert parser.open == []
    assert "&lt;net&gt;" in page and "<net>" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "Vivado &amp; more" in page


def test_more_than_the_board_has_is_marked():
    page = render_build_html(REPORT)
    assert page.count('class="bar over"') == 1
    assert "12.5 of 10  125.0 %" in page


def test_json():
    data = json.loads(REPORT.to_json())
    assert data["formats"] == {"fc1_w": ["ap_fixed<8,1>"]}
    assert data["resources"][0]["used"]["lut"] == 250
    assert data["version"] == 1


def test_ranges_against_what_is_representable():
    text = printed(REPORT)
    assert re.search(r"fc1_w.*ap_fixed<8,1>.*0\.5.*50 %", text)
    html = render_build_html(REPORT)
    assert html.count('class="reach"') == 1 and "largest value, proven" in html
    bare = replace(REPORT, formats=(replace(REPORT.formats[0], largest=None),))
    assert 'class="reach"' not in render_build_html(bare)
    assert "largest value, proven" not in render_build_html(bare)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("Yosys estimate", "estimate"),
        ("Vitis HLS estimate", "estimate"),
        ("counted, not synthesised", "counted"),
        ("Vivado, placed and routed", "after place and route"),
        ("RTL simulation of the shell, with pauses", "simulated"),
        ("on the board, 1,000 runs", "measured on the board"),
        ("somebody", "reported by the tool"),
    ],
)
def test_every_figure_says_what_kind_it_is(source, kind):
    use = ResourceUse(source, {"lut": 1})
    report = replace(REPORT, resources=(use,), timing=({"source": source, "latency_cycles": 3},))
    assert render_build_html(report).count(f">{kind}</span>") == 2
    assert kind in " ".join(printed(report).split())
    claim = "nothing here is measured on a board"
    assert (claim in render_build_html(report)) == (kind != "measured on the board")


def test_a_tool_is_named_once():
    assert build_text.tool("hls4ml", "1.3.0") == "hls4ml 1.3.0"
    assert build_text.tool("tcl", "Tcl 8.6") == "Tcl 8.6"
    assert build_text.tool("c++", "g++ (Debian) 12.2.0") == "g++ (Debian) 12.2.0"
    assert "hls4ml 1.3.0" in render_build_html(REPORT)


def test_the_last_words_are_use_pace_and_codes():
    timing = ({"source": "RTL simulation", "latency_cycles": 300, "most_samples_per_second": 1e6,
               "limited_by": "the input bus, 200 beats"},)  # fmt: skip
    assert build_text.closing(replace(REPORT, timing=timing)) == [
        "DOES NOT FIT ultra96-v2: LUT 250 of 1,000 (25.0 %), BRAM36 12.5 of 10 (125.0 %) "
        "(Yosys estimate, estimate)",
        "latency 300 cycles (1.5 µs), at most 1,000,000 samples/s at 200 MHz, limited by the input "
        "bus, 200 beats",
        "hls4ml C simulation: 0 of 1,000 codes differ",
    ]
    counted = ({"source": "counted", "multipliers": 1024},)
    bare = replace(REPORT, resources=(), timing=counted, agreement=())
    assert build_text.closing(bare) == [
        "whether it fits ultra96-v2 is known after Vitis HLS; it multiplies 1,024 times at once, "
        "and the board has 0 DSP"
    ]
    assert build_text.closing(replace(bare, timing=())) == []


def test_formats_are_whole_at_sixty_columns():
    file = io.StringIO()
    print_build(REPORT, Console(file=file, width=60))
    assert "ap_fixed<8,1>" in file.getvalue() and "…" not in file.getvalue()
