"""Sums of more than 24 bits: qonnx and onnxruntime compute in float64, as exact as torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qfx_plugin.executors.float64 import needs_float64
from qfx_plugin.ir import Graph, Input, Multiply, Quantize
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import verify
from tests.convert.helpers import converted, export_qonnx, randomise_norms
from tests.graph_file import to_qonnx

ALL = ["torch", "qonnx", "onnxruntime"]


class Windows(nn.Module):
    """Every window that onnxruntime has in float32 only, with strides, groups and paddings."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 8, 3, stride=2, padding=1, output_padding=(1, 0))
        self.conv = nn.Conv2d(8, 8, (3, 2), (2, 1), (2, 1), dilation=(2, 1), groups=4, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.point = nn.Conv2d(8, 6, 1)
        self.mean = nn.AvgPool2d(2, padding=1)
        self.nearest = nn.Upsample(scale_factor=(1, 2))
        self.groups = nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2, bias=False)
        self.whole, self.largest = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
        self.linear = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, 6, 5) to (batch, 5)."""
        x = torch.relu(self.norm(self.conv(self.up(x))))
        x = self.groups(self.nearest(self.mean(self.point(x))))
        return self.linear(torch.cat([self.whole(x), self.largest(x)], 1).flatten(1))


class Series(nn.Module):
    """One dimension, and an extreme over all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 6, 5, stride=2, padding=3, groups=2)
        self.mean = nn.AvgPool1d(4, 2)
        self.point = nn.Conv1d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 4, 20) to (batch, 3)."""
        return torch.sigmoid(self.point(self.mean(torch.relu(self.conv(x))))).amax(2)


@pytest.mark.parametrize(
    ("network", "shape", "options"),
    [
        (Windows, (7, 3, 6, 5), {"weight_bit_width": 20}),
        (
            Windows,
            (7, 3, 6, 5),
            {"bit_width": 6, "act_rounding": "AP_RND_INF", "weight_bit_width": 22}
            | {"weight_scaling_per_output_channel": True},
        ),
        (Series, (7, 4, 20), {"weight_bit_width": 22, "act_overflow": "AP_WRAP"}),
    ],
)
def test_sums_of_more_than_24_bits(network, shape, options, torch_seed):
    x = torch.randn(shape)
    model = converted(randomise_norms(network()), x, **options)
    exported = export_qonnx(model, x[:1])
    assert load_qonnx(exported).float_bits() > 24
    verify(exported, x, model, executors=ALL).raise_if_different(required=ALL)


def test_no_sample_is_left_out(torch_seed):
    """The fourth power of most codes is wider than a float32."""
    cast = Quantize("q", ("x",), "q", 12, 0)
    square = Multiply("square", ("q", "q"), "square")
    ops = (Input("x", (), "x", (2,)), cast, square, Multiply("y", ("square", "square"), "y"))
    graph = Graph(ops, ("y",)).verify()
    assert needs_float64(graph)
    x = np.random.default_rng(0).integers(-2048, 2048, (9, 2))
    found = verify(to_qonnx(graph), x, executors=["qonnx"]).raise_if_different(required=["qonnx"])
    assert found["qonnx"].samples == 9
