"""What can be built: files, ONNX models, torch modules; and the step that reads them."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch

from brevitas_quantizers import calibrate
from qfx_plugin import interpret, load_qonnx
from qfx_plugin.build import Manifest, build
from qfx_plugin.build.inputs import random_inputs
from qfx_plugin.errors import ModelFileError, OptionError
from tests.build import toy_target
from tests.cli.test_export import network
from tests.qonnx_models import cnn, mlp


def import_only(model, out, **options):
    build(model, out=out, until="import", samples=10, **options)
    return Manifest.load(out).steps["import"].facts


@pytest.mark.parametrize("make", [mlp, cnn])
def test_import(make, tmp_path):
    onnx.save(make(), tmp_path / "m.onnx")
    facts = import_only(tmp_path / "m.onnx", tmp_path / "out", seed=3)
    graph = load_qonnx(tmp_path / "m.onnx")
    folder = tmp_path / "out" / "import"
    inputs = np.load(folder / "inputs.npy")
    np.testing.assert_array_equal(inputs, random_inputs(graph, 10, 3))
    (expected,) = interpret(graph, inputs).values()
    np.testing.assert_array_equal(np.load(folder / "expected_0.npy"), expected.codes)
    assert facts == json.loads((folder / "model.json").read_text())
    assert facts["formats"]["x_q"] == ["ap_fixed<8,2>"]


def test_layers_are_counted(tmp_path):
    rows = import_only(mlp(), tmp_path / "out")["layers"]
    work = {row["name"]: row["macs"] for row in rows if "macs" in row}
    assert work == {"fc1_acc_node": 16 * 32, "logits_node": 32 * 10}


def test_a_convolution_counts_its_positions(tmp_path):
    rows = import_only(cnn(), tmp_path / "out")["layers"]
    row = next(row for row in rows if row["kind"] == "Conv")
    assert row["macs"] == row["weights"] * row["shape"][1] * row["shape"][2]


def test_a_torch_module_is_exported_first(tmp_path):
    model = network()
    calibrate(model, torch.randn(64, 4))
    import_only_facts = build(
        model, out=tmp_path / "out", args=torch.zeros(1, 4), until="import", samples=10
    )
    assert import_only_facts.steps[0].status == "done"
    again = build(model, out=tmp_path / "out", args=torch.zeros(1, 4), until="import", samples=10)
    assert again.steps[0].status == "reused"  # the same weights give the same file
    folder = tmp_path / "out" / "import"
    x = torch.from_numpy(np.load(folder / "inputs.npy"))
    (output,) = Manifest.load(tmp_path / "out").steps["import"].facts["outputs"]
    codes = np.ldexp(model.eval()(x).detach().double().numpy(), output["frac_bits"])
    np.testing.assert_array_equal(codes, np.load(folder / "expected_0.npy"))


def test_a_torch_module_needs_an_example(tmp_path):
    with pytest.raises(OptionError, match="args must be an example input of the torch model"):
        build(network(), out=tmp_path / "out", target="hls4ml")


def test_a_damaged_file_is_refused_before_the_folder_is_touched(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match=r"m\.onnx"):
        import_only(tmp_path / "m.onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_build_can_be_built_from_its_own_folder(tmp_path, monkeypatch):
    toy_target.install(monkeypatch)
    (tmp_path / "m.onnx").write_bytes(b"model")
    out = tmp_path / "out"
    build(tmp_path / "m.onnx", out=out, target="toy")
    result = build(out / "model.onnx", out=out, options=out / "options.yaml")
    assert [step.status for step in result.steps] == ["reused"] * 4
