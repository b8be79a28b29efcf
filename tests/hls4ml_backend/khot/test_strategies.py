"""Which strategy a layer gets, by estimate."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.errors import ToolMissingError
from qfx_plugin.hls4ml_backend import config_from_qonnx, convert, lower
from qfx_plugin.hls4ml_backend.khot.cost import Work, estimate, multiplier_luts, shifter_luts
from qfx_plugin.hls4ml_backend.strategies import StrategyChoice, choose
from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models
from tests.hls4ml_backend.khot.test_projects import every_layer


def first_choice(model, reuse_factor: int, io_type: str = "io_parallel") -> StrategyChoice:
    plan = lower(load_qonnx(model), io_type=io_type)
    layer = next(layer for layer in plan.layers if layer.kind == "Dense")
    return choose(plan, layer, reuse_factor, io_type=io_type)


def hide_da4ml(monkeypatch: pytest.MonkeyPatch, *, found: bool) -> None:
    find = importlib.util.find_spec
    spec = find("json") if found else None
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: spec if name == "da4ml" else find(name, *a)
    )


def test_the_estimate_gives_back_what_was_measured() -> None:
    assert round(multiplier_luts(8, 8)) == 146
    assert round(shifter_luts(8, 1, 3)) == 45
    assert round(shifter_luts(8, 2, 3)) == 107
    for digits, measured in ((1.0, 29_663), (2.0, 52_164), (2.8, 63_461)):
        work = Work(32, 4256, 1, 8, 8, 3, round(4256 * digits), 8, 3)
        assert estimate(work)["da"] == pytest.approx(measured, rel=0.05)


def test_wide_multipliers_are_dsps() -> None:
    assert multiplier_luts(18, 18) == multiplier_luts(24, 18) == pytest.approx(196)


@pytest.mark.parametrize(
    ("bits", "k", "factor", "strategy"),
    [
        (8, 1, 16, "khot"), (8, 2, 16, "khot"), (8, 3, 16, "resource"), (8, None, 16, "resource"),
        (4, None, 16, "resource"), (8, 2, 1, "khot"), (8, None, 1, "latency"),
        (4, None, 1, "latency"),
    ],
)  # fmt: skip
def test_folded_and_unrolled_choices(
    bits: int, k: int | None, factor: int, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_da4ml(monkeypatch, found=False)
    choice = first_choice(models.mlp((16, 32, 10), bits, k=k), factor)
    assert choice.strategy == strategy
    assert choice.reuse_factor == factor
    assert "da" not in choice.luts


def test_an_adder_graph_is_taken_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_da4ml(monkeypatch, found=True)
    small, large = models.mlp((16, 12), 8, k=1), models.mlp((64, 64), 8, k=2)
    assert first_choice(small, 1).strategy == "da"
    assert first_choice(small, 4).strategy == "khot"
    assert first_choice(small, 1, "io_stream").strategy == "khot"
    assert first_choice(large, 1).strategy == "khot"  # would compile for minutes


def test_a_khot_factor_moves_to_one_that_divides() -> None:
    choice = first_choice(models.mlp((16, 12), 8, k=1), 7)
    assert (choice.strategy, choice.reuse_factor) == ("khot", 6)
    assert first_choice(models.mlp((16, 12), 8), 7).reuse_factor == 7  # hls4ml moves it


def test_wide_weights_are_no_candidates() -> None:
    choice = first_choice(models.mlp((4, 3), 8, weight_bit_width=30), 4)
    assert choice.strategy == "resource"
    assert "khot" not in choice.luts


def test_auto_fills_the_configuration() -> None:
    layers = config_from_qonnx(every_layer(1), reuse_factor=6)["LayerName"]
    found = {name: (layer["Strategy"], layer["ReuseFactor"])
             for name, layer in layers.items() if "Strategy" in layer}  # fmt: skip
    folded = dict.fromkeys(("conv", "norm", "prelu", "scale", "depthwise", "pointwise", "fc"))
    assert found == dict.fromkeys(folded, ("Khot", 6))
    assert "Strategy" not in layers["x"]


def test_auto_folds_streams_within_a_pixel() -> None:
    layers = config_from_qonnx(every_layer(1), reuse_factor=6, io_type="io_stream")["LayerName"]
    assert (layers["prelu"]["Strategy"], layers["prelu"]["ReuseFactor"]) == ("Khot", 4)
    assert layers["depthwise"]["ReuseFactor"] == 6


def test_da_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "da4ml", None)
    monkeypatch.setitem(__import__("sys").modules, "da4ml.codegen.hls", None)
    text = r"^layer 'logits_node': this strategy needs da4ml.*: pip install hls4ml\[da\]$"
    with pytest.raises(ToolMissingError, match=text):
        convert(models.mlp((4, 3), 6), tmp_path, strategy="da")


@pytest.mark.slow
@pytest.mark.parametrize(("k", "strategy"), [(None, "da"), (1, "auto")])
def test_adder_graphs_have_the_bits_of_the_interpreter(k, strategy, tmp_path: Path) -> None:
    model = models.mlp((16, 12, 5), 6, k=k)
    config = config_from_qonnx(model, strategy=strategy)
    assert {layer["Strategy"] for layer in config["LayerName"].values() if "Strategy" in layer} == {
        "Da"
    }
    x = models.random_inputs(model, 500, seed=1)
    graph = load_qonnx(model)
    expected = interpret(graph, x)[graph.outputs[0]]
    logits = convert(model, tmp_path, config=config).predict(x)
    assert np.array_equal(np.ldexp(logits, expected.frac_bits), expected.codes)
