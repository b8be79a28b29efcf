"""`docs/faq.md` quotes errors word for word: each is raised here and compared with its heading."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    QFXFixedPoint,
    calibrate,
    export_qonnx,
    quantize,
)
from brevitas_quantizers.autograd import fixed_point_cast
from brevitas_quantizers.fixed_point import QfxError
from qfx_plugin import interpret, load_qonnx, verify_agreement
from qfx_plugin.boards import load_board
from qfx_plugin.build.options import BuildOptions
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.driver import Description
from qfx_plugin.ir import ArgMax, Graph
from tests.ir.graphs import source
from tests.qonnx_models import mlp

PAGE = Path(__file__).parents[2] / "docs" / "faq.md"
X = torch.linspace(-1, 1, 64).reshape(4, 16)


def headings() -> list[str]:
    return re.findall(r"^### `(.*)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))


def ready(model: nn.Module) -> nn.Module:
    calibrate(model, [X])
    return model.eval()


def first(*layers: nn.Module, **options: object) -> nn.Module:
    entry = {"act_quant": QFXFixedPoint, "rounding": "AP_RND"} | options
    return nn.Sequential(qnn.QuantIdentity(**entry), *layers)


def overflowing() -> object:
    return export_qonnx(ready(quantize(network(), act_overflow="AP_WRAP")), X[:1], target="hls4ml")


def float_norm() -> object:
    conv = qnn.QuantConv2d(1, 2, 3, bias=False, weight_quant=QFXFixedPoint)
    return export_qonnx(first(conv, nn.BatchNorm2d(2)), torch.zeros(1, 1, 8, 8))


def text_file() -> object:
    Path("model.onnx").write_text("version https://git-lfs")
    return load_qonnx("model.onnx")


def float_scale() -> object:
    model = mlp()
    quant = next(node for node in model.graph.node if node.op_type == "Quant")
    for entry in model.graph.initializer:
        if entry.name == quant.input[1]:
            entry.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.3), entry.name))
    return load_qonnx(model)


def configured(**change: object) -> object:
    pytest.importorskip("hls4ml")
    from qfx_plugin.hls4ml_backend import config_from_qonnx, convert

    config = config_from_qonnx(mlp())
    layer = config["LayerName"]["fc1_acc_node"]
    layer["Precision"] |= change.pop("Precision", {})
    layer |= change
    return convert(mlp(), "project", config=config)


def ranked() -> object:
    from qfx_plugin.finn_plugin import lower

    ops = (*source((4,)), ArgMax("largest", ("q",), "y"))
    return lower(Graph(ops, ("y",)))


def without_hls4ml() -> object:
    from qfx_plugin.hls4ml_backend import adapter

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter, "_installed_version", lambda: None)
        return adapter.require()


CASES: dict[str, Callable[[], object]] = {
    "the binary point has not": lambda: quantize(network()).eval()(X),
    "unknown option 'bitwidth'": lambda: qnn.QuantReLU(act_quant=QFXFixedPoint, bitwidth=4),
    "bit_width must be at least 2": lambda: qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=1),
    "rounding mode must be": lambda: qnn.QuantReLU(act_quant=QFXFixedPoint, rounding="ROUND"),
    "casts run in float32": lambda: ready(quantize(network())).half()(X.half()),
    "24-bit mantissa": lambda: fixed_point_cast(X, torch.tensor(0.0), 30),
    "cannot be converted": lambda: quantize(nn.Sequential(nn.Linear(4, 4), nn.RReLU())),
    "computes in floating point": float_norm,
    "every parameter needs": lambda: export_qonnx(ready(first(nn.Linear(16, 4))), X[:1]),
    "at least one QFX quantizer": lambda: export_qonnx(network(), X[:1]),
    "overflow AP_WRAP": overflowing,
    "rounding AP_RND_CONV": lambda: export_qonnx(
        ready(first(rounding="AP_RND_CONV")), X[:1], target="finn"
    ),
    "is not an ONNX file": text_file,
    "power of two": float_scale,
    "must have shape": lambda: interpret(load_qonnx(mlp()), np.zeros((2, 5))),
    "must be finite": lambda: interpret(load_qonnx(mlp()), np.full((2, 16), np.nan)),
    "executor must be": lambda: verify_agreement(mlp(), np.zeros((1, 16)), executors=["vivado"]),
    "accum must be": lambda: configured(Precision={"accum": "fixed<8,4>"}),
    "reuse factor must divide": lambda: configured(Strategy="khot", ReuseFactor=7),
    "the FINN target compares": ranked,
    "cifar10 is read from": lambda: load_dataset("cifar10"),
    "board must be one of": lambda: load_board("ultra69"),
    "target must be one of": lambda: BuildOptions.parse({"target": "vhdl"}, "options"),
    "is of a FINN accelerator": lambda: Description.parse(
        {"driver_information": {}}, "settings.json"
    ),
    "hls4ml is not installed": without_hls4ml,
}


def test_every_heading_has_its_case():
    assert len(headings()) == len(CASES) == len(set(headings()))
    for heading, part in zip(headings(), CASES, strict=True):
        assert part in heading


@pytest.mark.parametrize("part", CASES, ids=str)
def test_the_text_is_that_of_the_heading(part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QFX_DATA", raising=False)
    (heading,) = (text for text in headings() if part in text)
    pattern = ".*".join(map(re.escape, heading.split("...")))
    with pytest.raises(QfxError) as caught:
        CASES[part]()
    assert re.fullmatch(pattern, str(caught.value).splitlines()[0])
