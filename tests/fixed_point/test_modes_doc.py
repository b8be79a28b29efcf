"""`docs/modes.md` says what the code does: its tables are written from it, its examples run."""

from __future__ import annotations

import doctest

from tests.fixed_point.modes_doc import DOCUMENT, render


def test_tables_are_up_to_date() -> None:
    text = DOCUMENT.read_text()
    assert text.count("<!-- table: ") == text.count("<!-- end -->") == 6
    assert text == render(text), "run: python -m tests.fixed_point.modes_doc"


def test_examples_run() -> None:
    result = doctest.testfile(str(DOCUMENT), module_relative=False)
    assert result.failed == 0
    assert result.attempted > 5
