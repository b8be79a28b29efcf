"""`qfx build --target rtl`: from ONNX to simulated and synthesised Verilog."""

from __future__ import annotations

import json
import os

import onnx
import pytest

from qfx_plugin.build.api import build
from tests import qonnx_models as models

STEPS = ["import", "verilog", "simulate", "synthesise"]


def test_a_small_network_from_file_to_gates(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(models.mlp((6, 4, 3), bit_width=4), str(path))
    result = build(path, out=tmp_path / "b", target="rtl", samples=100)
    assert result.complete and [step.name for step in result.steps] == STEPS
    entry = json.loads((tmp_path / "b" / "simulate" / "simulation.json").read_text())
    assert entry == {
        "executor": "RTL simulation", "samples": 100, "compared": 300, "differing": 0,
    }  # fmt: skip
    resources = json.loads((tmp_path / "b" / "synthesise" / "resources.json").read_text())
    assert resources["label"] == "Yosys estimate"
    assert resources["total"]["lut"] > 20 and resources["total"]["dsp"] == 0
    report = json.loads((tmp_path / "b" / "verilog" / "report.json").read_text())
    assert report["fit"]["fits"] is True
    again = build(path, out=tmp_path / "b", target="rtl", samples=100)
    assert [step.status for step in again.steps] == ["reused"] * 4


@pytest.mark.slow
def test_the_digits_mlp_within_three_minutes(tmp_path, monkeypatch):
    """Trained at 4 bits, nothing kept from earlier runs; counted in processor time of all parts."""
    torch = pytest.importorskip("torch")
    from brevitas_quantizers import export_qonnx
    from qfx_plugin.demo.data import load_dataset
    from qfx_plugin.demo.models import Recipe
    from qfx_plugin.demo.models import build as make
    from qfx_plugin.demo.train import train

    monkeypatch.setenv("QFX_CACHE", str(tmp_path / "cache"))
    data = load_dataset("digits")
    x = data.x_train.reshape(len(data.x_train), -1)
    torch.manual_seed(0)
    model = make("mlp", Recipe("4-bit", 4), data.image_shape, data.classes)
    train(model, x, data.y_train, 2, seed=0)
    export_qonnx(model, torch.from_numpy(x[:1]), tmp_path / "m.onnx")
    start = sum(os.times()[:4])
    result = build(tmp_path / "m.onnx", out=tmp_path / "b", target="rtl", samples=256)
    seconds = sum(os.times()[:4]) - start
    assert result.complete and seconds < 180
