"""The networks that the hls4ml benchmarks convert: exported QONNX files and their inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from brevitas_quantizers import QFXKHot, calibrate, export_qonnx, quantize


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, with batch norm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def resnet8() -> nn.Sequential:
    """ResNet-8 for 32x32 images, the network of MLPerf Tiny."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def lenet() -> nn.Sequential:
    """LeNet-5 with ReLU and max-pooling."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def mlp() -> nn.Sequential:
    """A jet-tagging shaped network."""
    return nn.Sequential(
        nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(),
        nn.Linear(32, 5),
    )  # fmt: skip


def mobile() -> nn.Sequential:
    """Depthwise separable convolutions with ReLU6 and PReLU."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.PReLU(8),
        nn.Conv2d(8, 16, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, (16,)),
    "lenet": (lenet, (1, 28, 28)),
    "mobile": (mobile, (3, 32, 32)),
    "resnet8": (resnet8, (3, 32, 32)),
}


@dataclass(frozen=True)
class Case:
    """A network on disk.

    Attributes:
        path: the QONNX file.
        x: (samples, *input shape) float32.
    """

    path: Path
    x: NDArray[np.float32]


def export(name: str, k: int | None, folder: Path, samples: int, **options: Any) -> Case:
    """Quantize a network with random weights, calibrate it, and write the QONNX file.

    Args:
        name: one of `NETWORKS`.
        k: K-hot weights with at most this many signed powers of two, or None.
        folder: for the file.
        samples: inputs to make.
        options: those of `quantize`, such as `bit_width=6`.
    """
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(32, *shape))
    weights = {} if k is None else {"weight_quant": QFXKHot, "weight_k": k}
    model = quantize(network.eval(), **{"bit_width": 6, **options, **weights})
    calibrate(model, [torch.randn(32, *shape)])
    path = folder / f"{name}-{'dense' if k is None else f'k{k}'}.onnx"
    export_qonnx(model.eval(), torch.randn(1, *shape), path)
    return Case(path, torch.randn(samples, *shape).numpy())
