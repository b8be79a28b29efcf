"""The report as data: JSON round trip, formats in words, sums."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from brevitas_quantizers.fixed_point.format import FixedPointFormat
from qfx_plugin.errors import DataError
from qfx_plugin.report import DemoReport, LearnedFormat
from tests.report.sample import make_report


def test_json_round_trip():
    report = make_report()
    assert DemoReport.from_json(report.to_json()) == report


def test_json_layout():
    data = json.loads(make_report().to_json())
    assert data["version"] == 1
    entry = {"tensor": "0.act", "formats": ["ap_ufixed<8,1>"], "largest": 1.75}
    assert data["models"][1]["formats"][0] == entry
    assert data["models"][0]["weight_bits"] is None


def test_load(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(make_report().to_json(), encoding="utf-8")
    assert DemoReport.load(path) == make_report()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "demo report: version must be 1, not None"),
        ("[1]", "demo report: version must be 1, not None"),
        ('{"version": 2}', "demo report: version must be 1, not 2"),
        ('{"version": 1}', "demo report: a field is missing or unknown: 'dataset'"),
        ("", "demo report: not JSON: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_no_report(text, message):
    with pytest.raises(DataError) as error:
        DemoReport.from_json(text)
    assert str(error.value) == message


def test_drop_is_against_the_named_baseline():
    report = make_report()
    assert report.drop(report.models[0]) is None
    assert report.drop(report.models[3]) == pytest.approx(1.56)
    assert report.drop(report.models[9]) == pytest.approx(-0.22)


def test_proven_needs_a_comparison_and_no_difference():
    report = make_report()
    assert (report.compared, report.differing, report.proven) == (99_000, 0, True)
    assert not make_report(differing=1).proven
    assert not replace(report, models=report.models[:1]).proven


@pytest.mark.parametrize(
    ("formats", "summary"),
    [
        (FixedPointFormat(6, 1), "ap_fixed<6,1>"),
        ([FixedPointFormat(6, 1)] * 16, "16 × ap_fixed<6,1>"),
        ([FixedPointFormat(6, 1), FixedPointFormat(6, -2)], "2 × ap_fixed<6,-2..1>"),
        ([FixedPointFormat(6, 1, False), FixedPointFormat(4, 1, False)], "2 × ap_ufixed<4..6,1>"),
    ],
)
def test_summary(formats, summary):
    assert LearnedFormat.of("weight", formats).summary == summary


def test_exponents():
    entry = LearnedFormat.of("weight", [FixedPointFormat(6, 1), FixedPointFormat(6, -2)])
    assert entry.lsb_exponents == (-8, -5)
    assert entry.top_exponents == (-3, 0)


def test_part_of_the_range_that_is_used():
    fmt = FixedPointFormat(4, 3)
    assert LearnedFormat.of("a", fmt).used is None
    assert LearnedFormat.of("a", fmt, 1.0).used == 0.25
    assert LearnedFormat.of("a", [fmt, FixedPointFormat(4, 1)], 4.0).representable == 4.0


def test_reports_without_largest_values_still_load():
    data = json.loads(make_report().to_json())
    for model in data["models"]:
        for entry in model["formats"]:
            del entry["largest"]
    report = DemoReport.from_json(json.dumps(data))
    assert report.models[1].formats[0].largest is None
