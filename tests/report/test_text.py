"""How numbers are written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qfx_plugin.report import text
from tests.report.sample import make_report


@pytest.mark.parametrize(
    ("function", "value", "written"),
    [
        (text.percent, 97.7777, "97.78 %"),
        (text.points, 0.2222, "0.22"),
        (text.points, -0.1, "−0.10"),
        (text.points, -0.001, "0.00"),
        (text.points, None, "–"),
        (text.count, 1234567, "1,234,567"),
        (text.seconds, 0.417, "0.42 s"),
        (text.seconds, 9.996, "10.0 s"),
        (text.seconds, 99.96, "1 min 40 s"),
        (text.seconds, 185.2, "3 min 05 s"),
        (text.size, 512, "512 bit"),
        (text.size, 27728, "27.7 kbit"),
        (text.size, 1_230_000, "1.23 Mbit"),
    ],
)
def test_written(function, value, written):
    assert function(value) == written


def test_verdict():
    report = make_report()
    assert text.verdict(report) == (
        "99,000 integer codes compared with the interpreter, 0 differ (torch, qonnx, hls4ml). "
        "Not compared: 1 of 23."
    )
    assert text.verdict(make_report(differing=3)) == "21 of 99,000 integer codes differ."
    unproven = replace(report, models=report.models[:1])
    assert text.verdict(unproven) == "No executor was compared: nothing is proven."


def test_a_network_without_a_comparison_is_not_proven():
    report = make_report()
    last = report.models[-1]
    nothing = tuple(replace(entry, compared=0, note="broken") for entry in last.agreement)
    for agreement in (nothing, ()):
        unproven = replace(report, models=(*report.models[:-1], replace(last, agreement=agreement)))
        assert not unproven.proven
        assert text.verdict(unproven) == (
            "No executor was compared on some of the networks: these are not proven."
        )


def test_an_executor_that_stopped_is_said():
    report = make_report()
    stopped = tuple(replace(entry, note="stopped") for entry in report.models[-1].agreement)
    models = (*report.models[:-1], replace(report.models[-1], agreement=stopped))
    assert f"torch: stopped ({report.models[-1].name})" in text.left_out(
        replace(report, models=models)
    )


def test_groups_begin_with_float():
    groups = text.groups(make_report())
    assert [len(group) for group in groups] == [5, 5]
    assert all(group[0].is_float for group in groups)
