"""Reuse factors for a rate, and the configuration as a table and as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from qfx_plugin.errors import OptionError
from qfx_plugin.hls4ml_backend import (
    config_from_qonnx,
    format_config,
    load_config,
    lower,
    save_config,
)
from qfx_plugin.hls4ml_backend.rate import pixels_of, valid_reuse_factors
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models

CNN = models.cnn(6, size=16, channels=(8, 16))
OPTIONS = {"io_type": "io_stream", "strategy": "resource", "clock_period": 5.0}


@pytest.mark.parametrize("rate", [1e3, 2e4, 1e5, 6e5])
def test_rate_is_kept_with_the_largest_factors(rate: float) -> None:
    config = config_from_qonnx(CNN, target_rate=rate, **OPTIONS)
    budget = 1e9 / 5.0 / rate
    plan = {layer.name: layer for layer in lower(load_qonnx(CNN), io_type="io_stream").layers}
    for name, pixels in config["Model"]["QFX"]["pixels"].items():
        factor = config["LayerName"][name]["ReuseFactor"]
        factors = valid_reuse_factors(plan[name], "io_stream")
        larger = [other for other in factors if other > factor]
        assert factor in factors
        assert factor * pixels <= budget
        assert not larger or larger[0] * pixels > budget


def test_pixels_are_results_or_padded_inputs() -> None:
    pixels = {layer.name: pixels_of(layer) for layer in lower(load_qonnx(CNN)).layers}
    assert pixels["conv1_acc_node"] == 18 * 18
    assert pixels["conv2_acc_node"] == 10 * 10
    assert pixels["logits_node"] == 1


def test_factors_are_those_of_hls4ml() -> None:
    hls4ml = pytest.importorskip("hls4ml", reason="pip install qfx-plugin[hls4ml]")
    backend = hls4ml.backends.get_backend("QFX")
    for layer in lower(load_qonnx(CNN)).layers:
        if layer.kind == "Dense":
            sizes = layer.attributes["n_in"], layer.attributes["n_out"]
            factors = valid_reuse_factors(layer, "io_parallel")
            assert factors == backend.get_valid_reuse_factors(*sizes)
            return
    raise AssertionError("the network has a Dense layer")


def test_table() -> None:
    config = config_from_qonnx(CNN, target_rate=2e4, **OPTIONS)
    head, titles, first, conv, *_ = format_config(config).splitlines()
    assert head.startswith("xczu3eg-sbva484-1-i, io_stream, 5 ns, about ")
    assert titles.split() == [
        "layer", "result", "weight", "bias", "accumulator", "strategy", "reuse", "cycles",
    ]  # fmt: skip
    assert first.split() == ["x", "fixed<6,2,RND_CONV,SAT>"]
    assert conv.split()[0] == "conv1_acc_node"
    assert conv.split()[-3:] == ["Resource", "18", "5832"]
    assert format_config({"Model": {}}).startswith("no project settings\n")


def test_granularities() -> None:
    assert set(config_from_qonnx(CNN)) == {"Model", "LayerName"}
    assert set(config_from_qonnx(CNN, granularity="model")) == {"Model"}
    with pytest.raises(OptionError, match="^granularity must be one of model, type, name, not 'l"):
        config_from_qonnx(CNN, granularity="layer")


def test_saved_and_loaded(tmp_path: Path) -> None:
    config = config_from_qonnx(CNN, board="pynq-z2", **OPTIONS)
    save_config(config, tmp_path / "config.yml")
    assert load_config(tmp_path / "config.yml") == config
    assert config["Model"]["QFX"]["Part"] == "xc7z020clg400-1"


def test_unknown_board() -> None:
    message = (
        r"^board must be one of ultra96-v2, pynq-z2, .*, or the path of a \.toml file, "
        r"not 'ultra97' "
        r"\(did you mean ultra96-v2\?\)$"
    )
    with pytest.raises(OptionError, match=message):
        config_from_qonnx(CNN, board="ultra97")


@pytest.mark.parametrize("granularity", ["model", "type"])
def test_coarse_configurations_keep_the_choices_of_layers(granularity: str) -> None:
    options = {"target_rate": 1e5, "strategy": "auto"}
    fine = config_from_qonnx(CNN, **options)
    coarse = config_from_qonnx(CNN, granularity=granularity, **options)
    assert coarse["Model"] == fine["Model"]
    common = {key: coarse["Model"][key] for key in ("Strategy", "ReuseFactor")}
    assert 0 < len(coarse["LayerName"]) < len(fine["LayerName"])
    for name, entry in fine["LayerName"].items():
        chosen = {key: entry[key] for key in common if key in entry}
        found = coarse["LayerName"].get(name, common)
        assert found == (chosen or common)
        assert "Precision" not in found
