"""Budgets of streaming networks: a graph for each layer, counted once for all positions."""

from __future__ import annotations

import numpy as np
import pytest

from brevitas_quantizers import HardwareBudget, export_qonnx, hardware_cost, train_to_budget
from brevitas_quantizers.fixed_point import OptionError
from qfx_plugin import compile_rtl, interpret, load_qonnx
from tests.cost.networks import batches, cnn, images

UNFOLDED = 10**9


def test_a_streaming_network_costs_what_compile_rtl_makes_of_it(tmp_path):
    x, y = images(128)
    model = cnn()
    budget = HardwareBudget(model, lut=250, style="streaming")
    history = train_to_budget(model, batches(x, y), budget, epochs=24)
    export_qonnx(model, x[:1], tmp_path / "m.onnx")
    network = compile_rtl(
        tmp_path / "m.onnx", tmp_path / "rtl", style="streaming", fold_above=UNFOLDED, samples=2
    )
    stages = network.facts["stages"]
    assert {stage["style"] for stage in stages} == {"unrolled"}
    assert history.lut == sum(stage["cost_lut"] for stage in stages)
    assert history.lut == pytest.approx(250, rel=0.3)  # two dozen epochs of two steps
    cost = hardware_cost(model, x[:1], style="streaming")
    assert cost.exact() == history.lut and cost.lut == pytest.approx(history.lut)
    assert [layer.positions for layer in cost.layers] == [1, 1, 1]
    (found,) = interpret(load_qonnx(tmp_path / "m.onnx"), x.numpy()).values()
    assert np.array_equal(found.values, model(x).detach().numpy())
    unrolled = hardware_cost(model, x[:1])
    assert unrolled.bits > 4 * cost.bits


def test_an_unknown_style_is_refused():
    with pytest.raises(
        OptionError, match="hardware_cost: style must be one of unrolled, streaming, not 'folded'"
    ):
        hardware_cost(cnn(), images()[0], style="folded")
