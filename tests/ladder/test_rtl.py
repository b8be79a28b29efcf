"""Verilog of every row in the simulator: unrolled, and streaming with pauses on both sides."""

from __future__ import annotations

import pytest

from qfx_plugin.errors import VerificationError
from qfx_plugin.rtl.network import compile_together
from tests.operations import STREAMING, UNROLLED, Row, built, simulated

PAUSES = ({}, {"idle": 0.4, "backpressure": 0.4, "seed": 1})
MOST = 24
"""Rows that are compiled together, in a few seconds."""

CASES = [
    pytest.param(place, rows[first : first + MOST], id=f"{place}, {rows[first]}")
    for place, rows in ((place, simulated(place)) for place in (UNROLLED, STREAMING))
    for first in range(0, len(rows), MOST)
]


@pytest.mark.parametrize(("place", "rows"), CASES)
def test_simulation(place: str, rows: list[Row]):
    networks = [built(row, place) for row in rows]
    compile_together(networks)
    wrong = {}
    for row, network in zip(rows, networks, strict=True):
        for pauses in PAUSES if place == STREAMING else PAUSES[:1]:
            try:
                assert network.check(row.x, **pauses) >= len(row.x)
            except VerificationError as error:
                wrong[row.name] = str(error)
    assert not wrong
