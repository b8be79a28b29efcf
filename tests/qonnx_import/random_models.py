"""Random small QFX networks in PyTorch: any layer, format and mode that QONNX can hold."""

from __future__ import annotations

import brevitas.nn as qnn
import numpy as np
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot
from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from brevitas_quantizers.nn import QuantAdd, QuantAvgPool2d, QuantBatchNorm2d, QuantCat, QuantPReLU

SIZE = 6


class RandomModel(nn.Module):
    """Up to three blocks of convolutions with joins, activations and pools, then a linear layer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.channels, self.size = self.pick(1, 2, 3), SIZE
        self.inputs = self.channels
        self.entry = self.act()
        self.blocks = nn.ModuleList([self.block() for _ in range(self.pick(1, 2, 3))])
        features = self.channels * self.size**2
        options = self.weight(per_channel=self.pick(True, False))
        self.head = qnn.QuantLinear(features, 3, bias=self.pick(True, False), **options)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.flatten(1))

    def pick(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def width(self) -> int:
        return int(self.rng.integers(2, 6))

    def act(self, relu: bool = False) -> nn.Module:
        """A cast, with any rounding, and one binary point per channel now and then."""
        options = {
            "act_quant": QFXFixedPoint,
            "bit_width": self.width(),
            "rounding": self.pick(*RoundingMode),
            "overflow": self.pick(OverflowMode.AP_SAT, OverflowMode.AP_SAT_SYM),
        }
        if self.pick(True, False, False, False):
            shape = (1, self.channels, 1, 1)
            options |= {
                "scaling_per_output_channel": True,
                "per_channel_broadcastable_shape": shape,
            }
        return (qnn.QuantReLU if relu else qnn.QuantIdentity)(**options)

    def weight(self, per_channel: bool) -> dict[str, object]:
        """Options of weight and bias: fixed point in any of the 35 mode pairs, or K-hot."""
        options: dict[str, object] = {
            "bias_quant": QFXFixedPoint,
            "bias_bit_width": self.width() + 1,
            "weight_bit_width": self.width(),
            "weight_scaling_per_output_channel": per_channel,
        }
        if self.pick(True, False):
            return options | {"weight_quant": QFXKHot, "weight_k": self.pick(1, 2)}
        return options | {
            "weight_quant": QFXFixedPoint,
            "weight_rounding": self.pick(*RoundingMode),
            "weight_overflow": self.pick(*OverflowMode),
        }

    def conv(self, outputs: int, groups: int = 1) -> nn.Module:
        kernel = self.pick(1, 3)
        return qnn.QuantConv2d(
            self.channels, outputs, kernel, padding=kernel // 2, groups=groups,
            bias=self.pick(True, False), **self.weight(self.pick(True, False)),
        )  # fmt: skip

    def block(self) -> nn.Module:
        """A convolution, plain, depthwise, residual or two; then norm, activation, pool."""
        kind = self.pick("plain", "depthwise", "residual", "concat")
        outputs = self.channels if kind in ("depthwise", "residual") else self.pick(1, 2, 3)
        first = self.conv(outputs, self.channels if kind == "depthwise" else 1)
        layers: list[nn.Module] = [first]
        if kind == "residual":
            layers = [Sum(first)]
        elif kind == "concat":
            layers = [Beside(first, self.conv(1))]
            outputs += 1
        self.channels = outputs
        if self.pick(True, False):
            layers.append(QuantBatchNorm2d(outputs, weight_bit_width=5, bias_bit_width=6))
        if self.pick(True, False, False):
            layers.append(QuantPReLU(self.pick(1, outputs), weight_bit_width=4))
        layers.append(self.act(relu=self.pick(True, False)))
        if self.size % 2 == 0 and self.pick(True, False):
            self.size //= 2
            layers.append(self.pick(nn.MaxPool2d(2), QuantAvgPool2d(2)))
            layers.append(self.act())
        return nn.Sequential(*layers)


class Sum(nn.Module):
    """A layer added to its own input."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.add = layer, QuantAdd()

    def forward(self, x: Tensor) -> Tensor:
        return self.add(self.layer(x), x)


class Beside(nn.Module):
    """Two layers side by side."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right, self.cat = left, right, QuantCat()

    def forward(self, x: Tensor) -> Tensor:
        return self.cat([self.left(x), self.right(x)])


def random_model(seed: int, samples: int = 24) -> tuple[nn.Module, np.ndarray]:
    """The network of a seed after a batch in training mode, and inputs for it."""
    model = RandomModel(seed).train()
    x = torch.randn(samples, model.inputs, SIZE, SIZE) * 2
    model(x)
    grid = torch.round(x * 16) / 16  # on ties as well
    return model.eval(), grid.numpy()
