"""A product with, or a sum with, a quantized constant of any shape."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.injectors import QFXFixedPoint
from brevitas_quantizers.injectors.slots import Slot

from .base import QuantLayer, QuantType, in_files


@in_files()
class QuantScale(QuantLayer, nn.Module):
    """`x * cast(weight)`, shapes that broadcast.

    Args:
        shape: of the constant.
        quant: quantizer of the constant.
        weight_quant: the same, by its slot.
        options: of the slot: `weight_bit_width=6`, ...
    """

    slots = (Slot.WEIGHT,)
    output_channel_dim = 0

    def __init__(
        self,
        shape: tuple[int, ...],
        quant: QuantType = QFXFixedPoint,
        weight_quant: QuantType = None,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.ones(shape))
        self.output_channel_dim = channel_axis(shape)
        self.fill_slots(quant, options, weight_quant=weight_quant)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that broadcasts with the constant."""
        return self.receive(input) * self.quantized("weight")


@in_files()
class QuantShift(QuantLayer, nn.Module):
    """`x + cast(bias)`, shapes that broadcast.

    Args:
        shape: of the constant.
        quant: quantizer of the constant.
        bias_quant: the same, by its slot.
        options: of the slot: `bias_bit_width=6`, ...
    """

    slots = (Slot.BIAS,)
    output_channel_dim = 0

    def __init__(
        self,
        shape: tuple[int, ...],
        quant: QuantType = QFXFixedPoint,
        bias_quant: QuantType = None,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        self.bias = nn.Parameter(torch.zeros(shape))
        self.output_channel_dim = channel_axis(shape)
        self.fill_slots(quant, options, bias_quant=bias_quant)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape that broadcasts with the constant."""
        return self.receive(input) + self.quantized("bias")


def channel_axis(shape: tuple[int, ...]) -> int:
    """The longest axis; of several, the first."""
    return shape.index(max(shape)) if shape else 0
