"""Names, types and configuration that hls4ml is given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from qfx_plugin.errors import VerificationError
from qfx_plugin.hls4ml_backend import config_from_qonnx, convert, lower
from qfx_plugin.hls4ml_backend.lowering.naming import Namer
from qfx_plugin.ir import Graph, Input, Linear, Quantize, Weight, interpret
from qfx_plugin.ir.inputs import random_inputs
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models as models


def test_every_layer_has_its_types() -> None:
    config = config_from_qonnx(models.mlp((16, 8, 4), 6, per_channel=True))
    precision = {name: layer["Precision"] for name, layer in config["LayerName"].items()}
    assert list(precision) == ["x", "fc1_acc_node", "fc1_relu_node", "logits_node"]
    assert precision["x"] == {"result": "fixed<6,2,RND_CONV,SAT>"}
    assert precision["fc1_relu_node"] == {"result": "ufixed<6,3,RND_CONV,SAT>"}
    assert set(precision["logits_node"]) == {"result", "weight", "bias", "accum"}
    assert precision["logits_node"]["result"] == precision["logits_node"]["accum"]


def test_config_is_plain_data_with_the_options() -> None:
    config = config_from_qonnx(models.mlp((4, 5)), io_type="io_stream", reuse_factor=4)
    assert yaml.safe_load(yaml.safe_dump(config)) == config
    section = config["Model"]["QFX"]
    assert section["Part"] == "xczu3eg-sbva484-1-i"
    assert (section["IOType"], section["ClockPeriod"]) == ("io_stream", 10.0)
    assert config["Model"]["ReuseFactor"] == 4


@pytest.mark.parametrize(
    ("size", "expected"), [(8, "io_parallel"), (16, "io_parallel"), (20, "io_stream")]
)
def test_auto_streams_large_images(size: int, expected: str) -> None:
    config = config_from_qonnx(models.cnn(4, size=size), io_type="auto")
    assert config["Model"]["QFX"]["IOType"] == expected


def test_half_an_lsb_of_ap_rnd_goes_into_the_bias_unless_sums_are_capped() -> None:
    graph = load_qonnx(models.mlp((4, 5, 3), 6, rounding="AP_RND"))
    free, capped = lower(graph), lower(graph, max_accumulator_bits=32)
    for plan, mode in ((free, "AP_TRN"), (capped, "AP_RND")):
        kinds = [layer.kind for layer in plan.layers]
        assert kinds == ["InputLayer", "Dense", "Activation", "Dense"]
        assert str(plan.layers[2].result) == f"ap_ufixed<6,3,{mode},AP_WRAP>"
    moved = free.layers[1].attributes["bias_data"] - capped.layers[1].attributes["bias_data"]
    assert (moved == free.layers[2].result.format.lsb / 2).all()


def test_per_channel_weights_share_the_enclosing_type() -> None:
    weight = Weight(np.array([[7], [-8], [3]]), np.array([0, 3, 5]), 4)
    graph = Graph(
        (
            Input("x", (), "x", (1,)),
            Quantize("xq", ("x",), "xq", 4, 2),
            Linear("fc", ("xq",), "y", weight, None),
        ),
        ("y",),
    )
    layer = lower(graph).outputs[0].layer
    assert str(layer.precision["weight"].format) == "ap_fixed<9,4>"
    assert np.array_equal(layer.attributes["weight_data"], [[7.0, -1.0, 3 / 32]])


def test_digest_tells_networks_apart() -> None:
    digests = {lower(load_qonnx(models.mlp((4, 5), 6, seed=seed))).digest for seed in range(5)}
    again = lower(load_qonnx(models.mlp((4, 5), 6, seed=0))).digest
    assert len(digests) == 5
    assert again in digests


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["/features/0/Conv", "features.0.Conv"], ["features_0_Conv", "features_0_Conv_2"]),
        (["FC", "fc", "fc_2"], ["FC", "fc_2", "fc_2_2"]),
        (["", "7", "input", "ä; system(0)"], ["node", "node_7", "node_input", "system_0"]),
        (["x" * 99], ["x" * 48]),
    ],
)
def test_names_are_identifiers_and_unique(names: list[str], expected: list[str]) -> None:
    namer = Namer()
    assert [namer(name) for name in names] == expected


def test_hostile_node_names_convert(tmp_path: Path) -> None:
    model = models.mlp((4, 5, 3), 6)
    for index, node in enumerate(model.graph.node):
        node.name = ["input", 'a"; }', "class", "0/1", "INPUT"][index % 5]
    converted = convert(model, tmp_path)
    x = models.random_inputs(model, 20, seed=1)
    assert np.array_equal(
        converted.predict(x), convert(models.mlp((4, 5, 3), 6), tmp_path / "plain").predict(x)
    )


def test_conversion_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = models.mlp((4, 5, 3), 6)
    convert(model, tmp_path).predict(models.random_inputs(model, 2))
    assert capfd.readouterr() == ("", "")


def test_reuse_factors_are_those_in_use(tmp_path: Path) -> None:
    model = models.mlp((15, 5), 6)
    converted = convert(model, tmp_path, strategy="resource", reuse_factor=4)
    assert converted.reuse_factors == {"logits_node": 3}


def test_importing_the_backend_does_not_import_hls4ml() -> None:
    code = "import sys, qfx_plugin.hls4ml_backend; print('hls4ml' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


def test_the_result_runs_checks_and_reports(tmp_path: Path) -> None:
    """As RTL's does: tensors by name, equal to the interpreter's."""
    model = models.mlp((4, 5, 3), 6)
    graph = load_qonnx(model)
    converted = convert(model, tmp_path, strategy="latency").compile(quick=True)
    x = random_inputs(graph, 30, seed=1)
    found, expected = converted.run(x), interpret(graph, x)
    assert found == expected and converted.check(x) == converted.check(x["x"]) == 30 * 3
    report = converted.report
    assert json.loads(json.dumps(report)) == report
    assert (report["style"], report["part"]) == ("io_parallel", "xczu3eg-sbva484-1-i")
    assert report["inexact"] == [] and "fc1_acc_node" in report["layers"]
    values = converted.values(x)
    off = {name: value + 2.0**-20 for name, value in values.items()}
    converted._predict = lambda given: off  # type: ignore[method-assign]
    text = r"^C simulation of 'qfx_test' differs from the interpreter in 90 of 90 codes; first: sam"
    with pytest.raises(VerificationError, match=text):
        converted.check(x)
    with pytest.raises(VerificationError, match="^C simulation of 'qfx_test': 'logits' is no code"):
        converted.run(x)
