"""Files for FINN: its own conversion to thresholds computes the codes of torch, ties included."""

from __future__ import annotations

import json

import brevitas.nn as qnn
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot, calibrate, export_qonnx
from brevitas_quantizers.fixed_point import ExportError
from brevitas_quantizers.nn import (
    QuantAdd,
    QuantAvgPool2d,
    QuantBatchNorm2d,
    QuantCat,
    QuantGlobalAvgPool2d,
    QuantHardtanh,
    QuantPReLU,
)
from qfx_plugin.ir import Quantize
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import verify

SHAPE = (2, 6, 6)
WEIGHT = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}


def act(**options: object) -> dict[str, object]:
    """Options of an activation that FINN represents."""
    return {"act_quant": QFXFixedPoint, "bit_width": 4, "rounding": "AP_RND", **options}


def chain(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(qnn.QuantIdentity(**act()), *layers)


class Residual(nn.Module):
    """A sum of different binary points, cast, beside one of its operands."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(**act())
        self.conv = qnn.QuantConv2d(2, 2, 3, padding=1, **WEIGHT)
        self.relu = qnn.QuantReLU(**act())
        self.add, self.cast, self.cat = QuantAdd(), qnn.QuantIdentity(**act()), QuantCat()

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        y = self.relu(self.conv(x))
        return self.cat([self.cast(self.add(x, y)), y])


CHANNELS = {"scaling_per_output_channel": True, "per_channel_broadcastable_shape": (1, 4, 1, 1)}

NETWORKS = {
    "classifier": lambda: chain(
        qnn.QuantConv2d(2, 4, 3, weight_scaling_per_output_channel=True, **WEIGHT),
        qnn.QuantReLU(**act()), nn.MaxPool2d(2), nn.Flatten(), qnn.QuantLinear(16, 5, **WEIGHT),
    ),
    "signed": lambda: chain(qnn.QuantConv2d(2, 4, 3, **WEIGHT), qnn.QuantIdentity(**act())),
    "symmetric": lambda: chain(
        qnn.QuantConv2d(2, 4, 3, **WEIGHT), qnn.QuantIdentity(**act(overflow="AP_SAT_SYM"))
    ),
    "away from zero": lambda: chain(
        qnn.QuantConv2d(2, 4, 3, **WEIGHT), qnn.QuantReLU(**act(rounding="AP_RND_INF"))
    ),
    "batch norm": lambda: chain(
        qnn.QuantConv2d(2, 4, 3, bias=False, weight_quant=QFXFixedPoint), QuantBatchNorm2d(4),
        qnn.QuantReLU(**act(bit_width=8)),
    ),
    "channel points": lambda: chain(
        qnn.QuantConv2d(2, 4, 3, **WEIGHT), qnn.QuantReLU(**act(**CHANNELS)),
        qnn.QuantConv2d(4, 3, 3, **WEIGHT),
    ),
    "depthwise k-hot": lambda: chain(
        qnn.QuantConv2d(2, 4, 3, groups=2, weight_quant=QFXKHot, bias_quant=QFXFixedPoint),
        qnn.QuantReLU(**act()),
    ),
    "average pool": lambda: chain(QuantAvgPool2d(2), qnn.QuantIdentity(**act())),
    "residual": Residual,
}  # fmt: skip


def calibrated(model: nn.Module) -> tuple[nn.Module, Tensor]:
    """The model, and inputs on a grid that has ties."""
    x = torch.randint(-40, 40, (16, *SHAPE)) / 16.0
    calibrate(model, [x])
    return model.eval(), x


def run_finn(exported: onnx.ModelProto, x: Tensor) -> tuple[np.ndarray, set[str]]:
    """What FINN makes of the file, executed; the types of its nodes."""
    from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    model = cleanup_model(ModelWrapper(exported)).transform(ConvertQONNXtoFINN())
    source, output = model.graph.input[0].name, model.graph.output[0].name
    rows = [execute_onnx(model, {source: sample[None].numpy()})[output] for sample in x]
    return np.concatenate(rows), {node.op_type for node in model.graph.node}


@pytest.fixture(autouse=True)
def finn_without_tools(monkeypatch):
    """FINN looks at the environment when it is imported."""
    monkeypatch.setenv("XILINX_VIVADO", "/none")
    from finn.util.settings import initialize_dummy_settings

    initialize_dummy_settings()


@pytest.mark.filterwarnings("ignore")  # of FINN and qonnx
@pytest.mark.parametrize("name", NETWORKS)
def test_finn_converts_to_the_codes_of_torch(name, torch_seed):
    model, x = calibrated(NETWORKS[name]())
    exported = export_qonnx(model, x[:1], target="finn")
    got, kinds = run_finn(exported, x)
    assert "MultiThreshold" in kinds and "Quant" not in kinds
    with torch.no_grad():
        np.testing.assert_array_equal(got, model(x).numpy())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rounding", ["AP_RND_CONV", "AP_TRN", "AP_RND"])
def test_finn_would_change_what_is_refused(rounding, torch_seed):
    """Also the Add of half an LSB that other readers need for AP_RND."""
    layers = qnn.QuantConv2d(2, 4, 3, **WEIGHT), qnn.QuantIdentity(**act(rounding=rounding))
    model, x = calibrated(chain(*layers))
    got, _ = run_finn(export_qonnx(model, x[:1], target="qonnx"), x)
    with torch.no_grad():
        assert (got != model(x).numpy()).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_means_ap_rnd_to_our_reader(name, torch_seed, tmp_path):
    model, x = calibrated(NETWORKS[name]())
    path = tmp_path / "m.onnx"
    exported = export_qonnx(model, x[:1], path, target="finn")
    assert json.loads(exported.metadata_props[0].value)["target"] == "finn"
    casts = [op for op in load_qonnx(path) if isinstance(op, Quantize)]
    assert {op.rounding for op in casts} == {"AP_RND"} or name == "away from zero"
    result = verify(path, x.numpy(), torch_model=model, executors=["torch", "qonnx"])
    result.raise_if_different(required=["torch"])
    assert result["qonnx"].reason == (
        "the file is for FINN: its signed AP_RND casts have no name in QONNX"
    )


def refusal(model: nn.Module) -> str:
    model, x = calibrated(model)
    with pytest.raises(ExportError) as caught:
        export_qonnx(model, x[:1], target="finn")
    return str(caught.value)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            qnn.QuantIdentity(**act(rounding="AP_RND_CONV")),
            "1.act: FINN has no equivalent of rounding AP_RND_CONV on a signed activation; these "
            "work: AP_RND",
        ),
        (
            qnn.QuantReLU(**act(rounding="AP_TRN")),
            "1.act: FINN has no equivalent of rounding AP_TRN on an unsigned activation; these "
            "work: AP_RND, AP_RND_INF",
        ),
        (
            qnn.QuantIdentity(**act(overflow="AP_WRAP")),
            "1.act: FINN has no equivalent of overflow AP_WRAP on a signed activation; these work: "
            "AP_SAT, AP_SAT_SYM",
        ),
        (
            qnn.QuantIdentity(**act(bit_width=10)),
            "1.act: FINN has activations of at most 8 bits, not 10; use bit_width=8",
        ),
        (
            nn.Sequential(nn.ReLU(), qnn.QuantIdentity(**act())),
            "1.1.act: FINN takes only unsigned casts behind a ReLU, and this one is signed; use "
            "signed=False",
        ),
        (QuantPReLU(2), "1: FINN has no PRelu for this QuantPReLU; use QuantReLU"),
        (
            QuantHardtanh(-1, 1),
            "1: FINN has no Clip for this QuantHardtanh; cast to a narrower format instead",
        ),
        (QuantGlobalAvgPool2d(), "ReduceSum_0: FINN has no ReduceSum; use QuantAvgPool2d"),
    ],
)  # fmt: skip
def test_refusals_name_the_layer_and_what_works(layer, text, torch_seed):
    assert refusal(chain(layer)) == text
