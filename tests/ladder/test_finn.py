"""FINN's Python execution of every row, converted and as hardware; some rows in Verilator."""

from __future__ import annotations

import pytest

from qfx_plugin.finn_plugin import adapter
from qfx_plugin.finn_plugin import model as models
from qfx_plugin.finn_plugin.hardware import rtlsim
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.finn_plugin.hardware.folding import fold_model
from qfx_plugin.finn_plugin.integers import require_integers
from qfx_plugin.finn_plugin.lowering.lower import lower
from qfx_plugin.finn_plugin.network import Dataflow
from qfx_plugin.simulation import simulate
from tests.finn_plugin.helpers import PART
from tests.operations import FINN, ROWS, taken

SAMPLES = 2, 12
"""Of the converted graph, whose standard nodes take 100 times as long, and of the hardware."""

IN_VERILATOR = (
    "PRelu", "Add of two tensors", "Concat", "MaxPool", "SumPool, global", "QuantConv2d, K-hot",
    "Lookup, falls",
)  # fmt: skip
"""Rows that have each of our units once; a unit takes a second to compile."""


@pytest.mark.parametrize("row", taken(FINN), ids=str)
def test_python_execution(row):
    plan = lower(row.graph)
    model = require_integers(models.build(plan))
    (name,) = (op.output for op in row.graph.inputs)
    for stage, samples in zip(("converted", "hardware"), SAMPLES, strict=True):
        model = to_hardware(model) if stage == "hardware" else model
        differing = Dataflow(row.graph, model, plan.contract).differences({name: row.x[:samples]})
        assert set(differing.values()) == {0}, stage


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if row.name in IN_VERILATOR], ids=str)
def test_verilog_unit_by_unit(row):
    plan = lower(row.graph)
    place = "finn.transformation.fpgadataflow.specialize_layers"
    with adapter.quiet():
        specialised = to_hardware(require_integers(models.build(plan))).transform(
            adapter.module(place).SpecializeLayers(PART)
        )
    rtlsim.install(simulate)
    simulated = rtlsim.prepare(fold_model(specialised, 400), PART, 5.0)
    (name,) = (op.output for op in row.graph.inputs)
    differing = Dataflow(row.graph, simulated, plan.contract).differences({name: row.x[:2]})
    assert set(differing.values()) == {0}
