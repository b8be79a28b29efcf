"""The table itself: every operation has a row, and every refusal is the one that is expected."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import partial

import pytest

from brevitas_quantizers.fixed_point import OverflowMode, QfxError, RoundingMode
from qfx_plugin.ir import OPERATIONS as ANNOUNCED
from qfx_plugin.ir import Op
from tests.ir import naive
from tests.operations import (
    EXPORT,
    FILE,
    IMPORT,
    LAYERS,
    OPERATIONS,
    OVERFLOWS,
    ROUNDINGS,
    ROWS,
    built,
    targets,
)

WAY_OUT = re.compile(r"\b(use|move|train|pad|choose|its integers are those of)\b")


def operations(kind: type[Op] = Op) -> Iterator[type[Op]]:
    """Every class of operation of the package."""
    if not inspect.isabstract(kind) and kind.__module__.startswith("qfx_plugin."):
        yield kind
    for below in kind.__subclasses__():
        yield from operations(below)


def test_every_operation_has_a_row_and_a_reference():
    wanted = set(operations()) & set(ANNOUNCED.values())
    assert wanted - {type(op) for row in OPERATIONS for op in row.graph.ops} == set()
    assert {kind.__name__ for kind in wanted - naive.OPERATIONS.keys()} == {"Input"}


def test_every_mode_has_a_row():
    assert [row.name for row in ROUNDINGS] == list(map(str, RoundingMode))
    assert [row.name for row in OVERFLOWS] == list(map(str, OverflowMode))


def test_names_differ():
    for table in (OPERATIONS, LAYERS):
        assert len({row.name for row in table}) == len(table)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_is_refused_is_what_the_row_says(row):
    """By every target that the row names, in words that name the node and a way out."""
    places = {EXPORT: lambda: row.file, IMPORT: lambda: FILE in row.refused or row.model} | {
        name: partial(built, row, name) for name in targets()
    }
    for place, attempt in places.items():
        if place not in row.refused:
            attempt()
            continue
        with pytest.raises(QfxError) as caught:
            attempt()
        text = str(caught.value)
        assert row.refused[place] in text
        assert re.match(r"(\w+ '[^']+'|layer[.\d]*): ", text) and WAY_OUT.search(text), text
        if place == EXPORT:
            return
    assert row.refused.keys() <= {*places, FILE}
