"""Small networks around each layer, after a few training steps."""

from __future__ import annotations

from collections.abc import Callable

import brevitas.nn as qnn
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, QFXKHot
from brevitas_quantizers.nn import (
    QuantAdd,
    QuantAvgPool2d,
    QuantBatchNorm1d,
    QuantBatchNorm2d,
    QuantCat,
    QuantGlobalAvgPool2d,
    QuantHardtanh,
    QuantLeakyReLU,
    QuantMaxPool2d,
    QuantMul,
    QuantPReLU,
    QuantRPReLU,
)

SHAPE = (2, 6, 6)


class Chain(nn.Module):
    """Quantized input, the layer, and a cast of its result."""

    def __init__(self, bits: int, layer: nn.Module, shape: tuple[int, ...] = SHAPE) -> None:
        super().__init__()
        self.shape = shape
        self.entry = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=bits)
        self.layer = layer
        self.out = qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(self.entry(x)))


class Join(nn.Module):
    """Two branches with different binary points, joined."""

    def __init__(self, bits: int, layer: nn.Module, listed: bool = False) -> None:
        super().__init__()
        self.shape = SHAPE
        act = {"act_quant": QFXFixedPoint, "bit_width": bits}
        self.entry = qnn.QuantIdentity(**act)
        self.scale = QuantBatchNorm2d(2, weight_bit_width=bits, bias_bit_width=bits)
        self.left = qnn.QuantIdentity(frac_bits=1, **act)
        self.right = qnn.QuantReLU(**act)
        self.layer = layer
        self.listed = listed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.entry(x)
        pair = self.left(x), self.right(self.scale(x))
        return self.layer(pair) if self.listed else self.layer(*pair)


class Residual(nn.Module):
    """A residual block with everything in `bits` bits, then a mean over 5 x 3 and a classifier."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.shape = (2, 10, 6)
        weight = {"weight_quant": QFXFixedPoint, "weight_bit_width": bits}
        constants = {"weight_bit_width": bits, "bias_bit_width": bits}
        act = {"act_quant": QFXFixedPoint, "bit_width": bits}
        self.entry = qnn.QuantIdentity(**act)
        self.conv1 = qnn.QuantConv2d(2, 4, 3, stride=2, padding=1, bias=False, **weight)
        self.bn1 = QuantBatchNorm2d(4, **constants)
        self.act1 = qnn.QuantReLU(**act)
        self.conv2 = qnn.QuantConv2d(4, 4, 3, padding=1, groups=4, bias=False, **weight)
        self.bn2 = QuantBatchNorm2d(4, **constants, **_output(bits))
        self.side = qnn.QuantConv2d(2, 4, 1, stride=2, bias=False, **weight)
        self.bn3 = QuantBatchNorm2d(4, **constants, **_output(bits))
        self.add = QuantAdd()
        self.act2 = QuantRPReLU(4, **constants, **_output(bits))
        self.pool = QuantGlobalAvgPool2d(weight_bit_width=bits, **_output(bits))
        self.fc = qnn.QuantLinear(4, 5, bias_quant=QFXFixedPoint, **weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.entry(x)
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        y = self.act2(self.add(y, self.bn3(self.side(x))))
        return self.fc(self.pool(y).flatten(1))


def _flat(bits: int) -> Chain:
    return Chain(bits, QuantBatchNorm1d(7, weight_bit_width=bits), (7,))


def _sequence(bits: int) -> Chain:
    return Chain(bits, QuantBatchNorm1d(3, weight_bit_width=bits), (3, 5))


def _output(bits: int) -> dict[str, object]:
    return {"output_quant": QFXFixedPoint, "output_bit_width": bits}


PER_CHANNEL = {"weight_scaling_per_output_channel": True, "bias_scaling_per_output_channel": True}

LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "batchnorm2d": lambda b: Chain(b, QuantBatchNorm2d(2, weight_bit_width=b, bias_bit_width=b)),
    "batchnorm2d per channel": lambda b: Chain(b, QuantBatchNorm2d(2, **PER_CHANNEL)),
    "batchnorm2d k-hot": lambda b: Chain(b, QuantBatchNorm2d(2, quant=QFXKHot, weight_k=1)),
    "batchnorm2d casts": lambda b: Chain(
        b, QuantBatchNorm2d(2, input_quant=QFXFixedPoint, input_bit_width=4, **_output(b))
    ),
    "batchnorm1d": _flat,
    "batchnorm1d sequence": _sequence,
    "add": lambda b: Join(b, QuantAdd()),
    "add cast": lambda b: Join(b, QuantAdd(QFXFixedPoint, output_bit_width=b)),
    "multiply": lambda b: Join(b, QuantMul(QFXFixedPoint, output_bit_width=b)),
    "concat": lambda b: Join(b, QuantCat(), listed=True),
    "concat cast": lambda b: Join(b, QuantCat(**_output(b)), listed=True),
    "prelu": lambda b: Chain(b, QuantPReLU(2, weight_bit_width=b)),
    "prelu one slope": lambda b: Chain(b, QuantPReLU(1, weight_frac_bits=-1, init=-3.0)),
    "prelu k-hot": lambda b: Chain(
        b, QuantPReLU(2, quant=QFXKHot, weight_scaling_per_output_channel=True)
    ),
    "rprelu": lambda b: Chain(b, QuantRPReLU(2, weight_bit_width=4, **_output(b))),
    "leaky": lambda b: Chain(b, QuantLeakyReLU(0.1, weight_bit_width=5)),
    "hardtanh": lambda b: Chain(b, QuantHardtanh(-0.375, 1.5)),
    "average shift": lambda b: Chain(b, QuantAvgPool2d(2)),
    "average": lambda b: Chain(b, QuantAvgPool2d(3, 2, 1, weight_bit_width=7)),
    "average wide": lambda b: Chain(b, QuantAvgPool2d((3, 2), 1, (1, 0), **_output(b))),
    "global average": lambda b: Chain(b, QuantGlobalAvgPool2d(weight_bit_width=9)),
    "global average shift": lambda b: Chain(b, QuantGlobalAvgPool2d(), (2, 4, 8)),
    "residual block": Residual,
    "maximum": lambda b: Chain(b, QuantMaxPool2d(3, 2, 1, **_output(b))),
}


def batch(model: nn.Module, samples: int = 8) -> torch.Tensor:
    """Inputs with negative, large and off-centre values."""
    return torch.randn(samples, *model.shape) * 2 + 0.3


def trained(name: str, bits: int, steps: int = 4) -> nn.Module:
    """A network of `LAYERS` after some steps, in evaluation mode."""
    model = LAYERS[name](bits).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        y = model(batch(model))
        (y - torch.randn_like(y)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()
