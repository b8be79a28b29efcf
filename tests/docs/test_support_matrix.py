"""`docs/support.md` says what the code does: its tables are written by asking it."""

from __future__ import annotations

import re

import pytest

from tests.docs import support_matrix
from tests.docs.support_matrix import DOCUMENT, NO, YES, Table, render

TABLES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "layers" else name
    for name in support_matrix.tables()
]


def test_every_table_is_on_the_page():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert re.findall(r"<!-- table: (\w+) -->", text) == list(support_matrix.tables())
    assert text.count("<!-- end -->") == len(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_up_to_date(name):
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == render(text, name), "run: python -m tests.docs.support_matrix"


def test_a_refusal_is_quoted():
    from qfx_plugin.errors import TargetError

    def refuse():
        raise TargetError("node 'a': cannot")

    table = Table(("mode", "good", "bad"))
    table.ask("m", {"good": lambda: 1, "bad": refuse})
    assert table.rows == [["m", YES, NO]]
    assert "- m, bad: `node 'a': cannot`" in str(table)


def test_an_error_that_is_no_refusal_is_an_error():
    def fail():
        raise KeyError("bug")

    with pytest.raises(KeyError):
        Table(("mode", "t")).ask("m", {"t": fail})
