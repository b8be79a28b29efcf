"""A recurrent layer in Verilog, its state in registers, against its sequence as one network."""

from __future__ import annotations

import json
from types import SimpleNamespace

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx
from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.nn import QuantGRU, QuantLSTM, RecurrentStep
from qfx_plugin import compile_rtl, interpret, load_qonnx
from qfx_plugin.build.api import build
from qfx_plugin.build.manifest import Manifest
from qfx_plugin.build.targets.rtl import shell
from qfx_plugin.errors import DataError, TargetError
from qfx_plugin.rtl.recurrent import build_recurrent
from tests.rtl.test_project import bench

STEPS = 3
SMALL = {f"{slot}_bit_width": 4 for slot in ("weight", "bias", "gate", "state")}


class Sequences(nn.Module):
    """Every step's hidden state."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=4)
        self.rnn = kind(2, 2, batch_first=True, **SMALL)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.entry(x))[0]


def network(kind: type[nn.Module]) -> tuple[nn.Module, Tensor]:
    x = torch.randn(20, STEPS, 2)
    return calibrate(Sequences(kind), [x]).eval(), x


@pytest.fixture(scope="module")
def lstm(tmp_path_factory):
    """A network, its data, and the file of its step."""
    torch.manual_seed(0)
    model, x = network(QuantLSTM)
    path = tmp_path_factory.mktemp("step") / "step.onnx"
    export_qonnx(
        RecurrentStep(model.rnn, model.entry),
        (x[:1, 0], *torch.zeros(2, 1, 2)),
        path,
        input_names=["x", "h", "c"],
        output_names=["h_next", "c_next"],
    )
    return model, x, path


LOOPS = "h=h_next, c=c_next"


def test_state_in_registers_equals_the_unrolled_network(lstm, tmp_path):
    model, x, path = lstm
    unit = compile_rtl(path, tmp_path, style="recurrent", states=LOOPS, name="lstm", samples=20)
    assert (unit.name, unit.step.name) == ("lstm", "lstm_step")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["states"] == report["options"]["states"] == {"h": "h_next", "c": "c_next"}
    places = [(row["tensor"], row["port"], row["low"]) for row in report["outputs"]]
    assert places == [("h_next", "m_tdata", 0), ("c_next", "m_tdata", 8)]
    ends = [int(word, 16) >> 16 for word in (tmp_path / "tb" / "m.hex").read_text().split()]
    assert ends == 2 * ([0] * 7 + [1])  # whole sequences of eight steps
    unrolled = interpret(load_qonnx(export_qonnx(model, x[:1])), x.numpy())
    (expected,) = unrolled.values()
    found = unit.run(x.numpy(), idle=0.3, backpressure=0.3)["h_next"]
    np.testing.assert_array_equal(found.values, expected.values)
    assert unit.check(x.numpy()) == 20 * STEPS * 4
    assert np.unique(found.codes).size > 8


@pytest.mark.slow
def test_its_test_bench_passes_without_qfx(lstm, tmp_path):
    compile_rtl(lstm[2], tmp_path, style="recurrent", states=LOOPS)
    assert "PASS" in bench(tmp_path).stdout


def test_a_build_simulates_sequences(lstm, tmp_path):
    options = {"target": "rtl", "style": "recurrent", "states": {"h": "h_next", "c": "c_next"}}
    build(lstm[2], out=tmp_path / "b", samples=50, until="simulate", **options)
    (entry,) = Manifest.load(tmp_path / "b").steps["simulate"].facts["agreement"]
    assert (entry["compared"], entry["differing"]) == (48 * 4, 0)


def test_there_is_no_shell():
    context = SimpleNamespace(facts=lambda step: {"style": "recurrent", "top": "lstm"})
    with pytest.raises(TargetError, match="^style 'recurrent': lstm has no AXI shell: take the "):
        shell.run(context)


def test_refusals(torch_seed):
    model, x = network(QuantGRU)
    step = load_qonnx(
        export_qonnx(
            RecurrentStep(model.rnn, model.entry),
            (x[:1, 0], torch.zeros(1, 2)),
            input_names=["x", "h"],
            output_names=["h_next"],
        )
    )
    with pytest.raises(DataError, match=r"states must lead from inputs \(h, x\) to outputs \(h_"):
        build_recurrent(step, {"g": "h_next"})
    with pytest.raises(DataError, match="must leave an input that each step is given"):
        build_recurrent(step, {"h": "h_next", "x": "h_next"})
    with pytest.raises(DataError, match="inputs must be x, not y"):
        build_recurrent(step, {"h": "h_next"}).run({"y": x.numpy()})
    with pytest.raises(TargetError, match="^state 'x': its next value 'h_next' must lie in the"):
        build_recurrent(step, {"x": "h_next"})
    with pytest.raises(OptionError, match="must be a recurrent layer in one direction, not QuantG"):
        RecurrentStep(QuantGRU(2, 2, bidirectional=True), model.entry)
