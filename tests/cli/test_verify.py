"""`qfx verify`: exit status, tables and JSON; inputs from a file or at random."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import onnx
import pytest

import qfx_plugin.verify
from qfx_plugin.build.inputs import random_inputs
from qfx_plugin.cli import main
from qfx_plugin.qonnx_import import load_qonnx
from tests.build.test_inputs import two_inputs
from tests.qonnx_models import mlp


@pytest.fixture
def model(tmp_path) -> str:
    path = tmp_path / "mlp.onnx"
    onnx.save(mlp(), path)
    return str(path)


def test_agreement(model, capsys):
    assert main(["verify", model, "--samples", "8", "--executors", "qonnx"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("mlp: interpreter, 8 samples")
    assert [line.split()[0] for line in lines[1:]] == ["executor", "qonnx", "0"]
    assert lines[-1].startswith("0 of ")


def test_json(model, capsys):
    assert main(["verify", model, "--samples", "8", "--executors", "qonnx", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["agrees"] is True
    assert data["executors"][0]["samples"] == 8
    assert all(tensor["differing"] == 0 for tensor in data["executors"][0]["tensors"])


def test_disagreement(model, capsys, monkeypatch):
    real = qfx_plugin.verify.verify

    def wrong(*arguments, **options):
        agreement = real(*arguments, **options)
        (entry,) = agreement.executors
        difference = qfx_plugin.verify.Difference("logits", 3, (1,), 12, 13.0)
        tensors = (replace(entry.tensors[-1], differing=1),)
        entry = replace(entry, tensors=tensors, first=(difference,))
        return replace(agreement, executors=(entry,))

    monkeypatch.setattr(qfx_plugin.verify, "verify", wrong)
    assert main(["verify", model, "--samples", "8", "--executors", "qonnx"]) == 1
    assert capsys.readouterr().out.endswith(
        "  qonnx: sample 3, logits[1]: expected code 12, got 13\n"
        "1 of 80 integer codes differ (qonnx 1 of 80).\n"
    )


def test_nothing_compared_is_no_success(model, capsys):
    assert main(["verify", model, "--executors", "torch"]) == 1
    assert "not run" in capsys.readouterr().out


def test_inputs_from_a_file(model, tmp_path, rng, capsys):
    path = tmp_path / "x.npy"
    np.save(path, rng.normal(size=(5, 16)))
    assert main(["verify", model, "--inputs", str(path), "--executors", "qonnx"]) == 0
    assert "interpreter, 5 samples" in capsys.readouterr().out
    command = ["verify", model, "--inputs", str(path), "--samples", "2", "--executors", "qonnx"]
    assert main(command) == 0
    assert "interpreter, 2 samples" in capsys.readouterr().out


def fails(capsys, *arguments: str) -> str:
    assert main(["verify", *arguments]) == 2
    return capsys.readouterr().err


def test_missing_model(tmp_path, capsys):
    path = tmp_path / "none.onnx"
    assert fails(capsys, str(path)) == f"qfx: {path}: there is no such file\n"


def test_missing_inputs(model, tmp_path, capsys):
    path = tmp_path / "none.npy"
    error = fails(capsys, model, "--inputs", str(path))
    assert error.startswith(f"qfx: {path}: not a readable .npy file: ")
    assert error.count("\n") == 1


def test_damaged_inputs(model, tmp_path, capsys):
    path = tmp_path / "x.npy"
    path.write_bytes(b"")
    assert fails(capsys, model, "--inputs", str(path)).startswith(
        f"qfx: {path}: not a readable .npy file: "
    )


@pytest.mark.parametrize("content", [np.float32(1), np.array(["a", "b"])])
def test_inputs_that_are_no_samples(content, model, tmp_path, capsys):
    path = tmp_path / "x.npy"
    np.save(path, content)
    assert fails(capsys, model, "--inputs", str(path)) == (
        f"qfx: {path}: must hold one array of numbers, (samples, ...)\n"
    )


def test_unknown_executor(model, capsys):
    error = fails(capsys, model, "--executors", "vhdl")
    assert error.startswith("qfx: executor must be one of ") and "not 'vhdl'" in error


def test_samples_must_be_positive(model, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["verify", model, "--samples", "0"])
    assert stop.value.code == 2
    assert (
        "argument --samples: must be a whole number of at least 1, not '0'"
        in capsys.readouterr().err
    )


def test_random_inputs_reach_ties_and_overflow():
    graph = load_qonnx(mlp())
    (cast,) = graph.consumers(graph.inputs[0].output)
    fmt = cast.formats[0]
    x = random_inputs(graph, 4000, seed=1)
    assert x.dtype == np.float32 and x.shape == (4000, *graph.inputs[0].shape)
    quarters = np.unique((x.astype(np.float64) / fmt.lsb * 4) % 4)
    assert quarters.tolist() == [0, 1, 2, 3]
    assert x.min() < fmt.min and x.max() > fmt.max
    np.testing.assert_array_equal(x, random_inputs(graph, 4000, seed=1))


def test_random_inputs_of_a_network_with_several(tmp_path, capsys):
    onnx.save(two_inputs(), str(tmp_path / "two.onnx"))
    drawn = random_inputs(load_qonnx(tmp_path / "two.onnx"), 7, seed=0)
    assert {name: len(array) for name, array in drawn.items()} == {"x": 7, "y": 7}
    command = ["verify", str(tmp_path / "two.onnx"), "--samples", "7", "--executors", "qonnx"]
    assert main(command) == 0


def test_each_executor_is_a_stage_with_its_time(model, capsys):
    assert main(["verify", model, "--samples", "8", "--executors", "qonnx", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["agrees"]
    assert re.fullmatch(r"  qonnx \(qonnx [\d.]+\)  [\d.]+ s\n", captured.err)


def test_the_seed_decides_the_inputs(model, capsys, monkeypatch):
    seen = []
    real = qfx_plugin.verify.verify

    def look(path, inputs, **options):
        seen.append(inputs)
        return real(path, inputs, **options)

    monkeypatch.setattr(qfx_plugin.verify, "verify", look)
    for flags in ([], ["--seed", "0"], ["--seed", "3"]):
        assert main(["verify", model, "--samples", "5", "--executors", "qonnx", *flags]) == 0
    for found, seed in zip(seen, (0, 0, 3), strict=True):
        np.testing.assert_array_equal(found, random_inputs(load_qonnx(model), 5, seed))
    assert (seen[0] != seen[2]).any()


def test_a_wrong_shape_is_one_line(model, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((3, 5), np.uint8))
    assert fails(capsys, model, "--inputs", str(tmp_path / "x.npy")) == (
        "qfx: input 'x' must have shape (samples, 16), not (3, 5)\n"
    )


def test_bytes_of_images_are_values(model, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.arange(48, dtype=np.uint8).reshape(3, 16))
    command = ["verify", model, "--inputs", str(tmp_path / "x.npy"), "--executors", "qonnx"]
    assert main(command) == 0
