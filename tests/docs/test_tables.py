"""Tables of README.md and docs/ are those that `benchmarks/results/` give."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("common", "cost_picture", "coverage_tables", "tables"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import tables

    return tables


def test_every_table_is_up_to_date(tables):
    stale = [
        page.name for page in tables.PAGES if tables.filled(page.read_text()) != page.read_text()
    ]
    assert stale == [], "run: python benchmarks/tables.py --write"


def test_the_picture_is_up_to_date(tables):
    assert tables.PICTURE.read_text(encoding="utf-8") == tables.cost_picture()
    assert f"({tables.PICTURE.name})" in (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")


def test_every_table_stands_on_a_page(tables):
    pages = "".join(page.read_text(encoding="utf-8") for page in tables.PAGES)
    assert {name for name in tables.TABLES if f"<!-- table: {name} -->" in pages} == set(
        tables.TABLES
    )


def test_a_table_that_nobody_makes_is_an_error(tables):
    with pytest.raises(KeyError, match="nothing"):
        tables.filled("<!-- table: nothing -->\n<!-- end of table -->\n")


def test_codes_are_counted_by_executor(tables, tmp_path, monkeypatch):
    monkeypatch.setattr("common.RESULTS", tmp_path)
    report = tmp_path / "report.json"
    entry = '{"executor": "torch", "compared": 7, "differing": 1}'
    idle = '{"executor": "rtl", "compared": 0, "differing": 0}'
    model = f'{{"name": "MLP, float", "accuracy": 97.5, "agreement": [{entry}, {idle}]}}'
    report.write_text(f'{{"environment": {{}}, "models": [{model}, {model}]}}')
    kept = tables.keep_report("digits", report).read_text()
    assert '"torch": [\n      14,\n      2\n    ]' in kept and "rtl" not in kept
