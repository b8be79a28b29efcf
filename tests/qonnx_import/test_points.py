"""Layers on points, joins along any axis, new axes: what our own export writes."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, export_qonnx, import_qonnx
from qfx_plugin import interpret, load_qonnx, verify_agreement

ACT = {"act_quant": QFXFixedPoint}
WB = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}
CHANNELS = {"weight_scaling_per_output_channel": True, "bias_scaling_per_output_channel": True}


class Function(nn.Module):
    """A cast, a layer on the last axis, and a function of both."""

    def __init__(self, features: int, function: object) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(**ACT)
        self.fc = qnn.QuantLinear(features, features, **WB, **CHANNELS)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        return self.function(x, self.fc(x))


def points(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(qnn.QuantIdentity(**ACT), *layers)


NETWORKS = {
    "points": (points(qnn.QuantLinear(8, 4, **WB)), (5, 8)),
    "image": (points(qnn.QuantLinear(8, 4, **WB, **CHANNELS)), (2, 3, 8)),
    "no bias": (points(qnn.QuantLinear(8, 4, False, weight_quant=QFXFixedPoint)), (8, 8)),
    "two layers": (
        points(
            qnn.QuantLinear(6, 6, **WB, **CHANNELS),
            qnn.QuantReLU(**ACT, bit_width=5),
            qnn.QuantLinear(6, 4, **WB),
            nn.Flatten(),
            qnn.QuantLinear(20, 3, **WB),
        ),
        (5, 6),
    ),
    "sum": (Function(6, lambda x, y: x + y), (4, 6)),
    "join of features": (Function(6, lambda x, y: torch.cat([x, y], 2)), (4, 6)),
    "join of points": (Function(6, lambda x, y: torch.cat([y, x, y], -2)), (4, 6)),
    "join of rows": (Function(4, lambda x, y: torch.cat([y, x], 2)), (3, 2, 4)),
    "stack": (Function(6, lambda x, y: torch.stack([x, y], 1)), (4, 6)),
    "new axes": (Function(6, lambda x, y: (x + y).unsqueeze(1).unsqueeze(-1)), (4, 6)),
    "and gone": (Function(6, lambda x, y: (x + y)[:, None].transpose(1, 3).squeeze(3)), (4, 6)),
}


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_an_activation_has_a_binary_point_for_each_index_of_any_axis(axis, torch_seed):
    shape = tuple(size if n == axis else 1 for n, size in enumerate((1, 3, 4, 5)))
    own = {"scaling_per_output_channel": True, "per_channel_broadcastable_shape": shape}
    model = points(qnn.QuantIdentity(**ACT, **own, bit_width=5), qnn.QuantLinear(5, 2, **WB))
    x = torch.randn(6, 3, 4, 5) * 2.0 ** torch.arange(max(shape)).reshape(shape)
    model(x)
    exported = export_qonnx(model.eval(), x[:1])
    assert torch.equal(import_qonnx(exported)(x), model(x))
    graph = load_qonnx(exported)
    assert len(graph.ops[3 if axis > 1 else 2].frac_bits) == max(shape)
    verify_agreement(exported, x, model, executors=["torch", "qonnx"]).raise_if_different()


@pytest.mark.parametrize("name", NETWORKS)
def test_exported_read_and_equal(name, torch_seed):
    model, shape = NETWORKS[name]
    x = torch.randn(6, *shape)
    model.train()(x)
    expected = model.eval()(x).detach()
    exported = export_qonnx(model, x[:1])
    assert torch.equal(import_qonnx(exported)(x), expected)
    assert np.array_equal(interpret(load_qonnx(exported), x.numpy())["output"].values, expected)


class Turned(nn.Module):
    """The cast stands behind a change of layout; so many points as features, to be mistaken."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(**ACT)
        self.conv = qnn.QuantConv1d(4, 3, 3, **WB)
        self.relu = qnn.QuantReLU(**ACT)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(self.entry(x.transpose(1, 2))))


@pytest.mark.parametrize("points", [4, 7])
def test_a_layout_change_in_front_of_the_cast_is_verified(points, torch_seed, tmp_path):
    model, x = Turned(), torch.randn(8, points, 4)
    model(x)
    path = tmp_path / "m.onnx"
    export_qonnx(model.eval(), x[:1], path)
    for target in (path, model):
        report = verify_agreement(
            target, x.numpy() if target is path else x, torch_model=model, executors=["torch"]
        )
        (torch_result,) = report.executors
        assert (torch_result.differing, len(torch_result.tensors)) == (0, 2)
