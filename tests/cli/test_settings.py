"""`--config`: a file is the same as flags, and flags win."""

from __future__ import annotations

import json

import pytest

from qfx_plugin.cli import demo, export, main, verify


@pytest.fixture
def seen(monkeypatch):
    """The options that a command was run with; the command itself is replaced."""
    found = []

    def run(options):
        found.append({k: v for k, v in vars(options).items() if not callable(v) and k != "config"})
        return 0

    for command in (demo, export, verify):
        monkeypatch.setattr(command, "run", run)
    return found


def write(tmp_path, text: str, name: str = "qfx.yaml") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


CASES = {
    "verify": (
        ["m.onnx", "--samples", "7", "--executors", "qonnx", "torch", "--inputs", "x.npy"],
        ["m.onnx"],
        {"samples": 7, "executors": ["qonnx", "torch"], "inputs": "x.npy"},
    ),
    "demo": (
        ["--dataset", "digits", "--quick", "--seed", "3", "--out", "here"],
        [],
        {"dataset": "digits", "quick": True, "seed": 3, "out": "here"},
    ),
    "export": (
        ["net:make", "--input-shape", "1,8,8", "--target", "finn"],
        ["net:make"],
        {"input_shape": [1, 8, 8], "target": "finn"},
    ),
}


@pytest.mark.parametrize("command", CASES)
def test_a_file_equals_flags(command, seen, tmp_path):
    flags, rest, table = CASES[command]
    assert main([command, *flags]) == 0
    below = write(tmp_path, json.dumps({command: table, "build": {"seed": 9}}), "below.json")
    top = write(tmp_path, json.dumps(table), "top.json")
    for path in (below, top):
        assert main([command, *rest, "--config", path]) == 0
    assert seen[0] == seen[1] == seen[2]


def test_flags_win(seen, tmp_path):
    path = write(tmp_path, "samples: 7\nseed: 1\n")
    assert main(["verify", "m.onnx", "--config", path, "--samples", "8"]) == 0
    assert (seen[0]["samples"], seen[0]["seed"]) == (8, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample: 7", "option must be one of model, inputs, samples, seed, executors, json, not "
         "'sample' (did you mean samples?)"),
        ("samples: many", "samples: must be a whole number of at least 1, not 'many'"),
        ("samples: 0", "samples: must be a whole number of at least 1, not '0'"),
        ("executors: qonnx", "executors must be a list, not 'qonnx'"),
        ("json: 3", "json must be true or false, not 3"),
        ("seed: true", "seed must be a text or a number, not True"),
        ("verify: 3", "verify must be a table of names and values, not 3"),
    ],
)  # fmt: skip
def test_errors(text, message, seen, tmp_path, capsys):
    path = write(tmp_path, text)
    assert main(["verify", "m.onnx", "--config", path]) == 2
    assert message in capsys.readouterr().err
    assert not seen


def test_a_choice(seen, tmp_path, capsys):
    assert main(["demo", "--config", write(tmp_path, "dataset: imagenet")]) == 2
    assert "dataset must be one of digits, mnist, cifar10, not 'imagenet'" in (
        capsys.readouterr().err
    )


def test_no_such_file(seen, capsys):
    assert main(["demo", "--config", "none.yaml"]) == 2
    assert capsys.readouterr().err.startswith("qfx: none.yaml: ")
