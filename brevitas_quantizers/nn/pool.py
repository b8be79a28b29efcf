"""Pooling in fixed point: the maximum, and the mean as a sum times a fixed-point reciprocal.

A window whose area is a power of two needs no multiplication: the mean is the sum with its binary
point moved, and exact. Any other area has its reciprocal cast to a format of its own.
"""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.utils import _ntuple

from brevitas_quantizers.injectors import DerivedConstants, QFXFixedPoint
from brevitas_quantizers.injectors.slots import Slot

from .base import QuantLayer, QuantType, in_files
from .numbers import rounded_factor
from .windows import Windows, adaptive, numbers, of_slices, outer, repeated, sized

_RATIO_BITS = 8


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


@in_files()
class QuantMaxPool1d(QuantLayer, nn.MaxPool1d):
    """`nn.MaxPool1d`, whose result has the format of its input; see `QuantMaxPool2d`."""

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int = 0,
        quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        **options: Any,
    ) -> None:
        nn.MaxPool1d.__init__(self, kernel_size, stride, padding)
        self.fill_slots(quant, options, return_quant_tensor, output_quant=output_quant)

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, channels, length) float to the pooled size."""
        return self.deliver(nn.MaxPool1d.forward(self, self.receive(input)))


class _QuantMean(DerivedConstants, QuantLayer, nn.Module):
    """A mean over windows; `weight` is the reciprocal of the area, (1, 1, 1, 1)."""

    rank: ClassVar[int] = 2
    weight: Tensor
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
        reciprocal = torch.full((1, 1, *[1] * self.rank), 1.0 / area)
        self.register_buffer("weight", reciprocal, persistent=False)
        if quant is not None or slots["weight_quant"] is not None:
            options.setdefault("weight_learn_binary_point", False)
        self.fill_slots(quant, options, return_quant_tensor, **slots)

    @property
    def is_shift(self) -> bool:
        """Whether the area is a power of two, so that the reciprocal only moves binary points."""
        return self.area & (self.area - 1) == 0

    def _set_area(self, area: int) -> None:
        """Restart the reciprocal's format where the size of the input changes."""
        if area == self.area:
            return
        self.area = area
        self.weight = torch.full_like(self.weight, 1.0 / area)
        self.restart_formats()
        if self._stored:
            self.weight = self.quantized("weight").detach()

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


class _QuantWindowMean(_QuantMean):
    """Means of windows in one or two dimensions; see `QuantAvgPool2d`."""

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        quant: QuantType = QFXFixedPoint,
        weight_quant: QuantType = None,
        input_quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        sizes = _ntuple(self.rank)
        self.kernel_size = sizes(kernel_size)
        self.stride = self.kernel_size if stride is None else sizes(stride)
        self.padding = sizes(padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override
        self._bits = options.get("weight_bit_width", _RATIO_BITS)
        self._fill(
            prod(self.kernel_size),
            quant,
            options,
            return_quant_tensor,
            weight_quant=weight_quant,
            input_quant=input_quant,
            output_quant=output_quant,
        )

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, channels, ...) float to the pooled size."""
        x = self.receive(input)
        return self.deliver(self._pooled(x))

    def _pooled(self, x: Tensor) -> Tensor:
        windows = [
            Windows(int(size), kernel, stride, padding, self.ceil_mode)
            for size, kernel, stride, padding in zip(
                x.shape[2:], self.kernel_size, self.stride, self.padding, strict=True
            )
        ]
        padding = self.padding
        if any(one.added for one in windows):
            ends = [(one.padding, one.padding + one.added) for one in reversed(windows)]
            x, padding = F.pad(x, [size for pair in ends for size in pair]), (0,) * self.rank
        y = self._mean(x, padding)
        if self.divisor_override:
            return y * rounded_factor(self.area / self.divisor_override, self._bits)
        divisors = outer([one.divisors(self.count_include_pad) for one in windows])
        if all(divisor == self.area for divisor in divisors):
            return y
        ratios = [rounded_factor(self.area / divisor, self._bits) for divisor in divisors]
        return y * numbers(ratios, y)

    def _mean(self, x: Tensor, padding: tuple[int, ...]) -> Tensor:
        """Sums of windows divided by `area`."""
        if self.is_shift:
            pool = F.avg_pool1d if self.rank == 1 else F.avg_pool2d
            return pool(x, self.kernel_size, self.stride, padding)
        if self._stored:
            return self._as_convolution(x, padding)
        window: Any = [self.kernel_size, self.stride, padding]
        if self.rank == 1:  # torch's own for one dimension cannot leave the division out
            one = [(neutral, *part) for neutral, part in zip((1, 1, 0), window, strict=True)]
            return self._sums(x.unsqueeze(2), one).squeeze(2) * self.quantized("weight")
        return self._sums(x, window) * self.quantized("weight")

    @staticmethod
    def _sums(x: Tensor, window: Any) -> Tensor:
        kernel, stride, padding = window
        return F.avg_pool2d(x, kernel, stride, padding, divisor_override=1)

    def _as_convolution(self, x: Tensor, padding: tuple[int, ...]) -> Tensor:
        """The same sums, each term times the reciprocal: ONNX has no pool that only adds."""
        if self.weight.shape[0] != x.shape[1] or self.weight.shape[2:] != self.kernel_size:
            # first run of the copy that is exported
            one = self.weight.reshape(-1)[:1].reshape(1, 1, *[1] * self.rank)
            self.weight = one.expand(x.shape[1], 1, *self.kernel_size).clone()
        weight = self.quantized("weight")
        convolve = F.conv1d if self.rank == 1 else F.conv2d
        return convolve(x, weight, None, self.stride, padding, groups=weight.shape[0])

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


@in_files("kernel_size", "stride", "padding")
class QuantAvgPool2d(_QuantWindowMean):
    """`nn.AvgPool2d` in fixed point; padding counts as zeros.

    Where windows have different divisors (padding or the image's end is not counted), the means
    are multiplied by what is lacking, a number of `weight_bit_width` bits for each position.

    Args:
        kernel_size: of the window.
        stride: by default the window's size.
        padding: zeros on both sides, which count in the mean.
        quant: quantizer of the reciprocal.
        weight_quant: the same, by its slot.
        input_quant: quantizer of the input.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        ceil_mode: whether a window that only begins in the image counts, too.
        count_include_pad: whether padding counts in the divisor.
        divisor_override: the divisor, instead of the number of elements.
        options: of the slots, by prefix: `weight_bit_width=10`, `output_bit_width=8`, ...
    """


@in_files("kernel_size", "stride", "padding")
class QuantAvgPool1d(_QuantWindowMean):
    """`nn.AvgPool1d` in fixed point; see `QuantAvgPool2d`."""

    rank = 1


class _QuantAdaptiveMean(_QuantWindowMean):
    def __init__(self, output_size: Any, quant: QuantType = QFXFixedPoint, **keywords: Any) -> None:
        self.output_size = _ntuple(self.rank)(output_size)
        super().__init__(1, quant=quant, **keywords)

    def _pooled(self, x: Tensor) -> Tensor:
        plans = [adaptive(int(size), out) for size, out in sized(x, self.output_size)]
        if not all(plan.even for plan in plans):
            sums = of_slices(x, plans, lambda part, dim: part.sum(dim, keepdim=True))
            areas = outer([plan.sizes for plan in plans])
            return sums * numbers([rounded_factor(1 / area, self._bits) for area in areas], sums)
        self.kernel_size = tuple(plan.sizes[0] for plan in plans)
        self.stride = tuple(plan.step for plan in plans)
        self._set_area(prod(self.kernel_size))
        return repeated(self._mean(x, self.padding), plans)

    def extra_repr(self) -> str:
        """The size of the result."""
        return f"output_size={self.output_size}"


@in_files("kernel_size", "stride", "padding")
class QuantAdaptiveAvgPool2d(_QuantAdaptiveMean):
    """`nn.AdaptiveAvgPool2d` to any size, in fixed point; the input sets the windows.

    Args:
        output_size: of the result; None for that of the input.
        quant: quantizer of the reciprocal.
        keywords: those of `QuantAvgPool2d`.
    """

    called_in_files = "QuantAvgPool2d"


@in_files("kernel_size", "stride", "padding")
class QuantAdaptiveAvgPool1d(_QuantAdaptiveMean):
    """`nn.AdaptiveAvgPool1d` to any size, in fixed point; see `QuantAdaptiveAvgPool2d`."""

    rank = 1
    called_in_files = "QuantAvgPool1d"


class AdaptiveMaxPool(nn.Module):
    """`nn.AdaptiveMaxPool1d` and `2d` as pools of windows that fit the input.

    Args:
        output_size: of the result, one number or None for each dimension.
    """

    def __init__(self, output_size: tuple[int | None, ...]) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) float to the pooled size."""
        plans = [adaptive(int(size), out) for size, out in sized(x, self.output_size)]
        if not all(plan.even for plan in plans):
            return of_slices(x, plans, lambda part, dim: part.amax(dim, keepdim=True))
        pool = F.max_pool1d if len(plans) == 1 else F.max_pool2d
        kernel, steps = [plan.sizes[0] for plan in plans], [plan.step for plan in plans]
        return repeated(pool(x, kernel, steps), plans)

    def extra_repr(self) -> str:
        """The size of the result."""
        return f"output_size={self.output_size}"


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
