"""Elements that move, products of streams, constants of each element: converted and as hardware."""

from __future__ import annotations

import pytest

from qfx_plugin.finn_plugin import model as models
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.finn_plugin.integers import require_integers
from qfx_plugin.finn_plugin.lowering.lower import lower
from qfx_plugin.finn_plugin.network import Dataflow
from tests.moving import ROWS

QUICK = ("rows of three", "constant rows behind", "one row for all", "pool with gaps")
CASES = [
    pytest.param(row, id=row.name, marks=() if row.name in QUICK else pytest.mark.slow)
    for row in ROWS
]


@pytest.mark.parametrize("row", CASES)
def test_python_execution(row):
    plan = lower(row.graph)
    model = require_integers(models.build(plan))
    for stage, samples in (("converted", 2), ("hardware", 8)):
        model = to_hardware(model) if stage == "hardware" else model
        found = Dataflow(row.graph, model, plan.contract).differences({"x": row.x[:samples]})
        assert set(found.values()) == {0}, stage
