"""The main job: what `qfx demo` promises, on the default data."""

from __future__ import annotations

import statistics
from itertools import product

import numpy as np
import pytest

from qfx_plugin.demo import run_demo
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import FLOAT, NETWORKS, RECIPES, Recipe
from qfx_plugin.demo.progress import SilentDemo
from qfx_plugin.demo.run import EPOCHS, as_input, export_and_verify, train_one
from qfx_plugin.demo.train import predict
from qfx_plugin.executors import EXECUTORS
from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests.campaign import part

SEEDS = (0, 1, 2)


class Listener:
    """Keeps what the demo reports."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def step(self, done: int, total: int, note: str = "") -> None:
        self.notes.append(note)


def test_quick_demo_reports_what_it_did(tmp_path):
    listener = Listener()
    report = run_demo(
        "digits",
        tmp_path,
        quick=True,
        progress=listener,
        networks=["mlp"],
        recipes=[FLOAT, Recipe("QFX 4-bit K=2", 4, k=2)],
        executors=["torch", "qonnx"],
    )
    assert [row.name for row in report.models] == ["MLP, float", "MLP, QFX 4-bit K=2"]
    assert listener.stages == [
        "MLP, float: train",
        "MLP, QFX 4-bit K=2: train",
        "MLP, QFX 4-bit K=2: export",
        "MLP, QFX 4-bit K=2: verify",
    ]
    assert any(note.startswith("loss ") for note in listener.notes)
    row = report.models[1]
    assert row.baseline == "MLP, float"
    assert (row.weight_bits, row.act_bits, row.k) == (4, 4, 2)
    assert row.size_bits == 4 * (64 * 32 + 32 + 32 * 32 + 32 + 32 * 10 + 10)
    assert [entry.tensor for entry in row.formats][:3] == ["0.act", "1.weight", "1.bias"]
    assert all(entry.largest <= entry.representable for entry in row.formats)
    assert row.formats[0].largest == 1.0  # the brightest pixel
    assert [entry.executor for entry in row.agreement] == ["torch", "qonnx"]
    assert all(entry.samples == 450 and entry.compared > 0 for entry in row.agreement)
    assert report.proven
    assert (tmp_path / "mlp-qfx-4-bit-k-2.onnx").is_file()
    assert report.dataset.test_samples == 450


def test_accuracy_is_that_of_the_interpreter(tmp_path):
    """The figure in the table is what the integer network reaches, not a float relative."""
    data = load_dataset("digits")
    row = train_one(data, "cnn", Recipe("QFX 6-bit", 6), 2, 0, SilentDemo())
    export_and_verify(row, data, tmp_path, ["torch"], SilentDemo())
    graph = load_qonnx(row.path)
    x = as_input("cnn", data.x_test)
    logits = interpret(graph, {graph.inputs[0].output: x})[graph.outputs[0]]
    accuracy = 100.0 * float(np.mean(logits.codes.argmax(axis=1) == data.y_test))
    assert accuracy == row.accuracy
    np.testing.assert_array_equal(
        np.ldexp(logits.codes.astype(float), -logits.frac_bits), predict(row.model, x)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "network"),
    part(product(reversed(RECIPES[1:]), NETWORKS), 2),
    ids=lambda one: getattr(one, "name", one),
)
def test_every_code_of_every_test_sample_on_every_executor(recipe, network, tmp_path):
    data = load_dataset("digits")
    row = train_one(data, network, recipe, EPOCHS["digits"], 0, SilentDemo())
    export_and_verify(row, data, tmp_path, None, SilentDemo())
    row.agreement.raise_if_different(required=["torch", "qonnx", "hls4ml"])
    for entry in row.agreement.executors:
        assert entry.samples == (EXECUTORS[entry.name].samples or len(data.x_test)) >= 16
        assert entry.differing == 0
    everywhere = {"torch", "qonnx", "onnxruntime", "hls4ml", "finn"}
    assert {entry.name for entry in row.agreement.executors if entry.ran} == everywhere


@pytest.mark.slow
@pytest.mark.parametrize("network", part(NETWORKS, 1))
def test_accuracy_on_three_seeds(network):
    """Same network, epochs, data order and start for all; means over the seeds, in percent."""
    data = load_dataset("digits")
    frozen = Recipe("frozen", 4, learn_binary_point=False)
    mean = {
        recipe.name: statistics.mean(
            train_one(data, network, recipe, EPOCHS["digits"], seed, SilentDemo()).accuracy
            for seed in SEEDS
        )
        for recipe in (*RECIPES, frozen)
    }
    assert mean["QFX 8-bit"] >= mean["float"] - 0.5, mean
    assert mean["QFX 6-bit"] >= mean["float"] - 1.0, mean
    assert mean["QFX 4-bit"] >= mean["float"] - 2.5, mean
    assert mean["QFX 8-bit K=2"] >= mean["QFX 8-bit"] - 1.0, mean
    assert mean["QFX 4-bit"] > mean["frozen"], mean
