"""The layers of FracBNN that are not element-wise: thermometer code and fractional convolution.

All that they compute are small whole numbers, in operations that QONNX and the integer graph have
already. A binary weight is the fixed-point number -1 or 1.
"""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import torch
from torch import Tensor, nn

from brevitas_quantizers import QFXFixedPoint
from brevitas_quantizers.nn import ChannelShift, QuantHardtanh, QuantMul

from .parameters import Array

_WHOLE: dict[str, Any] = {"bias_frac_bits": 0}


def whole_conv(weight: Tensor, stride: int = 1, groups: int = 1, **weight_format: int) -> nn.Module:
    """A convolution with whole weights that do not train, its zero padding half of its kernel.

    Args:
        weight: (outputs, inputs / groups, kernel, kernel).
        stride: of the window.
        groups: of channels.
        weight_format: options of the weight quantizer.
    """
    outputs, inputs, kernel, _ = weight.shape
    options = {"weight_bit_width": 2, "weight_frac_bits": 0} | weight_format
    conv = qnn.QuantConv2d(
        inputs * groups, outputs, kernel, stride, kernel // 2, groups=groups, bias=False,
        weight_quant=QFXFixedPoint, **options,
    )  # fmt: skip
    conv.weight.data = weight
    conv.weight.requires_grad_(False)
    return conv


def binary_conv(weight: Array, stride: int = 1) -> nn.Module:
    """A 3 x 3 convolution with the signs of `weight`; the sign of 0 is -1."""
    return whole_conv(torch.where(torch.tensor(weight) > 0, 1.0, -1.0), stride)


def whole_shift(values: Tensor, bit_width: int) -> ChannelShift:
    """Adds whole numbers that do not train, one to each channel, or one to all."""
    layer = ChannelShift(len(values), bias_bit_width=bit_width, **_WHOLE)
    layer.bias.data = values.view(-1, 1, 1)
    layer.bias.requires_grad_(False)
    return layer


class Thermometer(nn.Module):
    """Images to bipolar channels: level `i` of a colour is 1 where `i < round(levels * colour)`.

    Args:
        colours: channels of the image, whose values are in [0, 1].
        levels: channels made of each; a power of two.
    """

    def __init__(self, colours: int, levels: int) -> None:
        super().__init__()
        bits = levels.bit_length() - 1
        self.pixels = qnn.QuantIdentity(
            act_quant=QFXFixedPoint, bit_width=bits + 1, frac_bits=bits, signed=False
        )
        copies = torch.full((colours * levels, 1, 1, 1), 2.0 * levels)
        self.copies = whole_conv(copies, groups=colours, weight_frac_bits=-bits - 1)
        steps = torch.arange(levels).repeat(colours)
        self.steps = whole_shift(-(2.0 * steps + 1.0), bits + 2)
        self.bits = QuantHardtanh(-1.0, 1.0)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, colours, height, width) to (batch, colours * levels, height, width) of -1, 1."""
        return self.bits(self.steps(self.copies(self.pixels(images))))


class Signs(QuantHardtanh):
    """Signs of odd numbers; in training with the gradient of a third of them."""

    def forward(self, input: Tensor) -> Tensor:
        """Odd numbers from -3 to 3, any shape, to -1 and 1."""
        signs = super().forward(input)
        if not self.training:
            return signs
        return signs.detach() + (input - input.detach()) / 3


class WholeScale(nn.Module):
    """`factor * x` by a 1 x 1 convolution of each channel with itself.

    Args:
        channels: of the input.
        factor: a whole number of at most three bits.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        weight = torch.full((channels, 1, 1, 1), float(factor))
        self.conv = whole_conv(weight, groups=channels, weight_bit_width=3)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same."""
        return self.conv(x)


class FractionalConv2d(nn.Module):
    """A binary convolution of 1-bit activations, gated to 2 bits where the sum is large.

    With `u = 2 floor(3x / 2) + 1`, clipped to odd numbers from -3 to 3, the 2-bit activation is
    `u / 3`, its sign is `s = clip(u, -1, 1)` and its second bit `l = u - 2s`. The result is three
    times that of the float network, a whole number::

        2 * conv(s) + clip(conv(s) - t, 0, 1) * conv(l)        t = floor(3/2 * threshold)

    Args:
        weight: (outputs, inputs, 3, 3), whose signs count.
        threshold: (outputs,), of the sums of 2/3 times the signs.
        stride: of the window.
    """

    def __init__(self, weight: Array, threshold: Array, stride: int = 1) -> None:
        super().__init__()
        inputs = weight.shape[1]
        self.halves = qnn.QuantIdentity(
            act_quant=QFXFixedPoint, bit_width=2, frac_bits=-1, rounding="AP_TRN"
        )
        self.odd = whole_shift(torch.ones(1), 2)
        self.signs = Signs(-1.0, 1.0)
        self.minus_twice = WholeScale(inputs, -2)
        self.high = binary_conv(weight, stride)
        self.low = binary_conv(weight, stride)
        whole = torch.floor(torch.tensor(threshold).double() * 1.5).float()
        self.threshold = whole_shift(-whole, 1 + max(2, int(whole.abs().max()).bit_length()))
        self.gate = QuantHardtanh(0.0, 1.0)
        self.gated = QuantMul()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, ...) whole numbers."""
        levels = self.odd(self.halves(x + x + x))
        signs = self.signs(levels)
        high = self.high(signs)
        low = self.low(levels + self.minus_twice(signs))
        return high + high + self.gated(self.gate(self.threshold(high)), low)
