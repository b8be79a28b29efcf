"""`qfx export`: from Python code and a file of weights, which cannot run code."""

from __future__ import annotations

import argparse
import json

import brevitas.nn as qnn
import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate
from qfx_plugin import interpret, load_qonnx
from qfx_plugin.cli import main
from qfx_plugin.cli.export import shape

SOURCE = """
from tests.cli.test_export import network
def make():
    return network()
def number():
    return 3
def fails():
    raise KeyError("no")
"""


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=8),
        qnn.QuantLinear(4, 3, bias=False, weight_quant=QFXFixedPoint, weight_bit_width=6),
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "qfx_test_nets.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(folder) -> nn.Module:
    model = network()
    calibrate(model, torch.randn(64, 4))
    torch.save(model.state_dict(), folder / "state.pt")
    return model.eval()


def export(*more: str) -> int:
    return main(["export", "qfx_test_nets:make", "--input-shape", "4", *more])


def test_weights_from_a_file(trained, folder, capsys):
    assert export("--weights", "state.pt", "-o", "m.onnx", "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == "m.onnx"
    x = torch.randn(50, 4)
    (result,) = interpret(load_qonnx("m.onnx"), x.numpy()).values()
    assert (result.values == trained(x).detach().numpy()).all()


def test_a_model_that_no_data_has_set(folder, capsys):
    assert export() == 2
    assert capsys.readouterr().err.count("\n") == 1


class Evil:
    def __reduce__(self):
        return (print, ("it ran",))


def test_weights_cannot_run_code(folder, capsys):
    torch.save({"x": Evil()}, "evil.pt")
    assert export("--weights", "evil.pt") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("qfx: evil.pt: holds no plain weights: it must be a file of ")
    assert "it ran" not in captured.out and captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("qfx_test_nets", "factory must be MODULE:FUNCTION, not 'qfx_test_nets'"),
        ("qfx_none:make", "factory qfx_none:make: ModuleNotFoundError: No module named 'qfx_none'"),
        ("qfx_test_nets:none", "factory qfx_test_nets:none: AttributeError: "),
        ("qfx_test_nets:fails", "factory qfx_test_nets:fails: KeyError: 'no'"),
        ("qfx_test_nets:number",
         "factory qfx_test_nets:number must return a torch module, not int"),
    ],
)  # fmt: skip
def test_factories_that_are_none(factory, message, folder, capsys):
    assert main(["export", factory, "--input-shape", "4"]) == 2
    assert capsys.readouterr().err.startswith(f"qfx: {message}")


def test_weights_that_do_not_fit(folder, capsys):
    torch.save({"x": torch.zeros(1)}, "state.pt")
    assert export("--weights", "state.pt") == 2
    assert "state.pt: do not fit the model" in capsys.readouterr().err


def test_missing_weights(folder, capsys):
    assert export("--weights", "none.pt") == 2
    assert capsys.readouterr().err == "qfx: none.pt: cannot be read: No such file or directory\n"


def test_an_input_shape_that_the_model_does_not_take(trained, folder, capsys):
    factory = ["export", "qfx_test_nets:make", "--weights", "state.pt"]
    assert main([*factory, "--input-shape", "5"]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith(
        "qfx: Sequential does not run on args of shape (1, 5): "
    )
    assert "Traceback" not in error and not (folder / "model.onnx").exists()


def test_shapes():
    assert shape("1,28,28") == shape("1x28x28") == (1, 28, 28)
    for text in ("", "a", "0", "3,-1"):
        with pytest.raises(argparse.ArgumentTypeError):
            shape(text)
