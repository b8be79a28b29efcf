"""FINN's Python execution of every row, converted and as hardware; some rows in Verilator."""

from __future__ import annotations

import pytest

from qfx_plugin.finn_plugin import model as models
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.finn_plugin.integers import require_integers
from qfx_plugin.finn_plugin.lowering.lower import lower
from qfx_plugin.finn_plugin.network import compare
from tests.operations import FINN, taken

SAMPLES = 2, 12
"""Of the converted graph, whose standard nodes take 100 times as long, and of the hardware."""


@pytest.mark.parametrize("row", taken(FINN), ids=str)
def test_python_execution(row):
    plan = lower(row.graph)
    model = require_integers(models.build(plan))
    (name,) = (op.output for op in row.graph.inputs)
    for stage, samples in zip(("converted", "hardware"), SAMPLES, strict=True):
        model = to_hardware(model) if stage == "hardware" else model
        differing = compare(row.graph, model, {name: row.x[:samples]}, plan.contract)
        assert set(differing.values()) == {0}, stage
