"""`qfx build --target rtl`: from ONNX to simulated and synthesised Verilog."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import onnx
import pytest

from qfx_plugin import RtlOptions, load_qonnx
from qfx_plugin.build.api import build
from qfx_plugin.build.manifest import Manifest
from qfx_plugin.errors import OptionError, TargetError
from qfx_plugin.ir import Linear
from qfx_plugin.rtl.options import parse_fold
from tests import qonnx_models as models

STEPS = ["import", "verilog", "simulate", "synthesise", "shell", "handover", "bitstream"]


def test_a_small_network_from_file_to_gates(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(models.mlp((6, 4, 3), bit_width=4), str(path))
    result = build(path, out=tmp_path / "b", target="rtl", samples=100)
    assert [step.name for step in result.steps] == STEPS
    assert [step.status for step in result.steps] == ["done"] * 6 + ["waiting"]
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
    assert [step.status for step in again.steps] == ["reused"] * 6 + ["waiting"]


@pytest.fixture(autouse=True)
def no_vivado(monkeypatch):
    monkeypatch.delenv("XILINX_VIVADO", raising=False)


@pytest.fixture
def tiny_board(tmp_path):
    """The Ultra96's file with a handful of LUTs."""
    text = (files("qfx_plugin.boards") / "ultra96_v2.toml").read_text(encoding="utf-8")
    path = tmp_path / "tiny.toml"
    path.write_text(re.sub(r"(?m)^lut = \d+", "lut = 120", text))
    return str(path)


def test_what_does_not_fit_the_board_is_refused(tmp_path, tiny_board):
    path = tmp_path / "m.onnx"
    onnx.save(models.mlp((6, 4, 3), bit_width=4), str(path))
    options = {"out": tmp_path / "b", "target": "rtl", "board": tiny_board, "samples": 20}
    options["style"] = "unrolled"  # by style "auto" it would be folded until it fits
    with pytest.raises(
        TargetError,
        match=r"^network '.*' does not fit: about \d+ LUT, \d\.\d times the 120 of xczu3eg-.*: "
        r"no folding fits; use fewer bits or K-hot weights$",
    ):
        build(path, **options, until="synthesise")
    build(path, **options, allow_oversize=True, until="verilog")
    fit = json.loads((tmp_path / "b" / "verilog" / "report.json").read_text())["fit"]
    assert fit["fits"] is False and fit["lut_available"] == 120


def test_the_board_is_compared_with_after_synthesis(tmp_path, tiny_board, monkeypatch):
    monkeypatch.setattr("qfx_plugin.rtl.stream.fit.adder_graph_luts", lambda network: 0)
    path = tmp_path / "m.onnx"
    onnx.save(models.mlp((6, 4, 3), bit_width=4), str(path))
    options = {"out": tmp_path / "b", "target": "rtl", "board": tiny_board, "samples": 20}
    options["style"] = "unrolled"  # by style "auto" it would be folded until it fits
    with pytest.raises(TargetError, match=r"LUT, .* times the 120 of .* \(Yosys estimate\).*: "):
        build(path, **options)
    result = build(path, **options, allow_oversize=True, until="synthesise")
    assert result.steps[3].status == "done"
    report = json.loads((tmp_path / "b" / "report.json").read_text())
    assert report["capacity"]["lut"] == 120


def test_layers_are_folded_by_name(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(models.mlp((6, 4, 3), bit_width=4), str(path))
    names = [op.name for op in load_qonnx(path).ops if isinstance(op, Linear)]
    fold = f"{names[0]}=2x3, {names[1]}=1x2"
    out = tmp_path / "b"
    build(path, out=out, target="rtl", fold=fold, samples=50, until="simulate")
    report = json.loads((out / "verilog" / "report.json").read_text())
    assert [(row["pe"], row["simd"]) for row in report["stages"] if "pe" in row] == [(2, 3), (1, 2)]
    facts = Manifest.load(out).steps["simulate"].facts
    assert facts["interval_simulated"] == report["interval"]


@pytest.mark.parametrize("text", ["fc1", "fc1=0x2", "fc1=2x2, fc1=2x2", "=1x1", "fc1=2x2;"])
def test_a_folding_that_cannot_be_read(text):
    with pytest.raises(
        OptionError, match=r"^fold must be NAME=PExSIMD, NAME=PExSIMD, \.\.\., not "
    ):
        parse_fold(text)


def test_foldings_are_read():
    assert parse_fold("a=b=1x2, c,d=3x40") == {"a=b": (1, 2), "c,d": (3, 40)}
    assert parse_fold(" ") == {}
    words = {"a": (1, 2, "dsp"), "b": (3, 4, "block"), "c": (5, 6, "dsp", "lutram")}
    assert parse_fold("a=1x2 dsp, b=3x4 block, c=5x6 dsp lutram") == words


@pytest.mark.parametrize("words", ["fast", "block lutram", "dsp dsp"])
def test_words_behind_a_folding_that_nobody_knows(words):
    with pytest.raises(OptionError, match="^fold of 'fc1' may have dsp, and one of block and lutr"):
        parse_fold(f"fc1=1x2 {words}")
    with pytest.raises(OptionError, match="^fold of 'fc1' may have dsp, and one of block and lutr"):
        RtlOptions(fold={"fc1": (1, 2, *words.split())})


@pytest.mark.slow
def test_the_digits_mlp(tmp_path, monkeypatch):
    """Trained at 4 bits, nothing kept from earlier runs; `benchmarks/rtl_time.py` has the time."""
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
    result = build(
        tmp_path / "m.onnx", out=tmp_path / "b", target="rtl", samples=256, until="synthesise"
    )
    assert [step.status for step in result.steps[:4]] == ["done"] * 4
    entry = json.loads((tmp_path / "b" / "simulate" / "simulation.json").read_text())
    assert (entry["compared"], entry["differing"]) == (2560, 0)
    resources = json.loads((tmp_path / "b" / "synthesise" / "resources.json").read_text())
    graph = json.loads((tmp_path / "b" / "verilog" / "report.json").read_text())["cost_lut"]
    total = resources["total"]
    assert total["dsp"] == total["bram18"] == 0
    assert 0.9 * graph < total["lut"] < 1.2 * graph
