"""`qfx demo`: what it passes on, writes, prints and returns; the demo itself is elsewhere."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

import qfx_plugin.demo
from qfx_plugin.cli import main
from qfx_plugin.cli.progress import ConsoleProgress
from qfx_plugin.report import DemoReport
from tests.report.sample import make_report


@pytest.fixture
def demo(monkeypatch):
    """Replaces the demo; returns the arguments that it was called with."""
    calls = []

    def run_demo(dataset, out_dir, seed, quick, progress):
        calls.append((dataset, out_dir, seed, quick))
        progress.stage("MLP, float: training")
        progress.step(1, 2, "loss 0.5")
        Path(out_dir).mkdir(parents=True, exist_ok=True)
        return make_report(differing=seed)

    monkeypatch.setattr(qfx_plugin.demo, "run_demo", run_demo, raising=False)
    return calls


def test_writes_and_prints_the_report(demo, tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--dataset", "digits", "--out", str(out), "--quick"]) == 0
    assert demo == [("digits", out, 0, True)]
    assert DemoReport.load(out / "report.json") == make_report()
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    printed = capsys.readouterr().out
    assert re.search(r"^  MLP, float: training  \d\.\d\d s  loss 0\.5$", printed, re.MULTILINE)
    assert printed.endswith(f"Report: {out / 'report.html'}\n")


def test_defaults(demo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    assert demo == [(None, Path("build/demo"), 0, False)]
    assert (tmp_path / "build" / "demo" / "report.html").exists()


def test_a_difference_is_a_failure(demo, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path), "--seed", "1"]) == 1


def test_progress_on_a_terminal_keeps_only_finished_stages():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    with ConsoleProgress(console) as progress:
        progress.stage("[one]")
        progress.step(1, 3)
        progress.stage("two")
    assert re.search(r"\[one\]  \d\.\d\d s\n", file.getvalue())
    assert re.search(r"two  \d\.\d\d s\n", file.getvalue())


def test_progress_does_not_call_a_broken_stage_finished():
    file = io.StringIO()
    with pytest.raises(ValueError), ConsoleProgress(Console(file=file)) as progress:
        progress.stage("one")
        raise ValueError
    assert "one" not in file.getvalue()


def test_json_has_standard_output_for_itself(demo, tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    assert DemoReport.from_json(captured.out) == make_report()
    assert "MLP, float: training" in captured.err


@pytest.mark.parametrize(
    ("name", "content"),
    [("report.html", "mine"), ("report.json", "{}"), ("report.json", "\xff"),
     ("report.json", "[" * 100_000)],
)  # fmt: skip
def test_reports_that_are_no_demos_are_not_written_over(name, content, demo, tmp_path, capsys):
    (tmp_path / name).write_text(content, encoding="latin-1")
    assert main(["demo", "--out", str(tmp_path)]) == 2 and demo == []
    assert capsys.readouterr().err == (
        f"qfx: {tmp_path}: holds a {name} that is no demo's: name another folder with --out\n"
    )
    assert (tmp_path / name).read_text(encoding="latin-1") == content


def test_a_demo_goes_over_an_earlier_one(demo, tmp_path, capsys):
    for _ in range(2):
        assert main(["demo", "--out", str(tmp_path)]) == 0


def test_a_long_stage_gives_a_sign_of_life_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr("qfx_plugin.cli.progress.EVERY", 0.02)
    file = io.StringIO()
    with ConsoleProgress(Console(file=file)) as progress:
        progress.stage("compile")
        progress.step(1, 2, "half")
        deadline = time.monotonic() + 20
        while "so far" not in file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    first, *_, last = file.getvalue().splitlines()
    assert first.startswith("  compile  0.0") and first.endswith(" s so far  half")
    assert last.endswith(" s  half") and "so far" not in last
