"""Pooling in fixed point: the maximum, and the mean as a sum times a fixed-point reciprocal.

A window whose area is a power of two needs no multiplication: the mean is the sum with its binary
point moved, and exact. Any other area has its reciprocal cast to a format of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.utils import _pair

from brevitas_quantizers.injectors import DerivedConstants, QFXFixedPoint
from brevitas_quantizers.injectors.slots import Slot

from .base import QuantLayer, QuantType, in_files


@in_files()
class QuantMaxPool2d(QuantLayer, nn.MaxPool2d):
    """`nn.MaxPool2d`, whose result has the format of its input, with an output slot.

    Args:
        kernel_size: of the window.
        stride: by default the window's size.
        padding: on both sides; never wins.
        quant: the same as `output_quant`.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        options: of the output slot: `output_bit_width=6`, ...
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        **options: Any,
    ) -> None:
        nn.MaxPool2d.__init__(self, kernel_size, stride, padding)
        self.fill_slots(quant, options, return_quant_tensor, output_quant=output_quant)

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, channels, height, width) float to the pooled size."""
        return self.deliver(nn.MaxPool2d.forward(self, self.receive(input)))


class _QuantMean(DerivedConstants, QuantLayer, nn.Module):
    """A mean over windows; `weight` is the reciprocal of the area, (1, 1, 1, 1)."""

    slots = (Slot.WEIGHT, Slot.INPUT, Slot.OUTPUT)
    output_channel_dim = 0

    def _fill(
        self,
        area: int,
        quant: QuantType,
        options: dict[str, Any],
        return_quant_tensor: bool,
        **slots: QuantType,
    ) -> None:
        self.area = area
        self._stored = False
        reciprocal = torch.full((1, 1, 1, 1), 1.0 / area)
        self.register_buffer("weight", reciprocal, persistent=False)
        if quant is not None or slots["weight_quant"] is not None:
            options.setdefault("weight_learn_binary_point", False)
        self.fill_slots(quant, options, return_quant_tensor, **slots)

    @property
    def is_shift(self) -> bool:
        """Whether the area is a power of two, so that the reciprocal only moves binary points."""
        return self.area & (self.area - 1) == 0

    def constant(self, slot: str) -> Tensor:
        """The reciprocal before its cast."""
        return getattr(self, slot)

    def constants(self) -> dict[str, Tensor]:
        """The reciprocal, where it is used."""
        return {} if self.is_shift else {"weight": self.weight}

    def store_constants(self) -> None:
        """Keep the reciprocal after its cast."""
        self.weight = self.quantized("weight").detach()
        self._stored = True


@in_files("kernel_size", "stride", "padding")
class QuantAvgPool2d(_QuantMean):
    """`nn.AvgPool2d` in fixed point; padding counts as zeros.

    Args:
        kernel_size: of the window.
        stride: by default the window's size.
        padding: zeros on both sides, which count in the mean.
        quant: quantizer of the reciprocal.
        weight_quant: the same, by its slot.
        input_quant: quantizer of the input.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        options: of the slots, by prefix: `weight_bit_width=10`, `output_bit_width=8`, ...
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        quant: QuantType = QFXFixedPoint,
        weight_quant: QuantType = None,
        input_quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        self.kernel_size = _pair(kernel_size)
        self.stride = self.kernel_size if stride is None else _pair(stride)
        self.padding = _pair(padding)
        self._fill(
            self.kernel_size[0] * self.kernel_size[1],
            quant,
            options,
            return_quant_tensor,
            weight_quant=weight_quant,
            input_quant=input_quant,
            output_quant=output_quant,
        )

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, channels, height, width) float to the pooled size."""
        x = self.receive(input)
        if self.is_shift:
            y = F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)
        elif self._stored:
            y = self._as_convolution(x)
        else:
            window = (self.kernel_size, self.stride, self.padding)
            y = F.avg_pool2d(x, *window, divisor_override=1) * self.quantized("weight")
        return self.deliver(y)

    def _as_convolution(self, x: Tensor) -> Tensor:
        """The same sums, each term times the reciprocal: ONNX has no pool that only adds."""
        if self.weight.shape[2:] != self.kernel_size:  # first run of the copy that is exported
            self.weight = self.weight.expand(x.shape[1], 1, *self.kernel_size).clone()
        weight = self.quantized("weight")
        return F.conv2d(x, weight, None, self.stride, self.padding, groups=weight.shape[0])

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


@in_files()
class QuantGlobalAvgPool2d(_QuantMean):
    """Mean over height and width, as `nn.AdaptiveAvgPool2d(1)`; the first input sets the area.

    Args:
        quant: quantizer of the reciprocal.
        weight_quant: the same, by its slot.
        input_quant: quantizer of the input.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        options: of the slots, by prefix: `weight_bit_width=10`, `output_bit_width=8`, ...
    """

    def __init__(
        self,
        quant: QuantType = QFXFixedPoint,
        weight_quant: QuantType = None,
        input_quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        self._fill(
            1,
            quant,
            options,
            return_quant_tensor,
            weight_quant=weight_quant,
            input_quant=input_quant,
            output_quant=output_quant,
        )

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, channels, height, width) float to (batch, channels, 1, 1)."""
        x = self.receive(input)
        self._set_area(int(x.shape[2]) * int(x.shape[3]))
        if self.is_shift:
            y = F.adaptive_avg_pool2d(x, 1)
        else:
            y = x.sum((2, 3), keepdim=True) * self.quantized("weight")
        return self.deliver(y)

    def _set_area(self, area: int) -> None:
        """Restart the reciprocal's format where the size of the input changes."""
        if area == self.area:
            return
        self.area = area
        self.weight = torch.full_like(self.weight, 1.0 / area)
        self.restart_formats()
        if self._stored:
            self.weight = self.quantized("weight").detach()
