"""Piecewise linear activations whose slopes, shifts and bounds are fixed point."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn
from torch.nn import functional as F

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors import DerivedConstants, QFXFixedPoint
from brevitas_quantizers.injectors.slots import Slot

from .base import QuantLayer, QuantType, in_files

_SLOTS = (Slot.WEIGHT, Slot.INPUT, Slot.OUTPUT)
_MAX_BOUND_BITS = 16


@in_files()
class QuantPReLU(QuantLayer, nn.PReLU):
    """`nn.PReLU` with fixed-point slopes: `x` where positive, `cast(weight) * x` elsewhere.

    Args:
        num_parameters: 1, or one slope for each channel.
        init: first value of the slopes.
        quant: quantizer of the slopes.
        weight_quant: the same, by its slot.
        input_quant: quantizer of the input.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        device: of the slopes.
        dtype: of the slopes.
        options: of the slots, by prefix: `weight_bit_width=4`, `output_bit_width=8`, ...
    """

    slots = _SLOTS
    output_channel_dim = 0

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        quant: QuantType = QFXFixedPoint,
        weight_quant: QuantType = None,
        input_quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        nn.PReLU.__init__(self, num_parameters, init, device=device, dtype=dtype)
        self.fill_slots(
            quant,
            options,
            return_quant_tensor,
            weight_quant=weight_quant,
            input_quant=input_quant,
            output_quant=output_quant,
        )

    @classmethod
    def from_float(cls, prelu: nn.PReLU, **keywords: Any) -> Self:
        """The fixed-point twin of a float PReLU, with its slopes."""
        where: dict[str, Any] = {"device": prelu.weight.device, "dtype": prelu.weight.dtype}
        layer = cls(prelu.num_parameters, **where, **keywords)
        layer.load_state_dict(prelu.state_dict())
        return layer

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, channels, ...) float to the same shape."""
        return self.deliver(F.prelu(self.receive(input), self.quantized("weight")))


@in_files("negative_slope")
class QuantLeakyReLU(DerivedConstants, QuantLayer, nn.Module):
    """`nn.LeakyReLU` with a fixed-point slope that does not train.

    Args:
        negative_slope: of negative inputs, before the cast.
        quant: quantizer of the slope.
        weight_quant: the same, by its slot.
        input_quant: quantizer of the input.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        options: of the slots, by prefix: `weight_bit_width=4`, `output_bit_width=8`, ...
    """

    slots = _SLOTS
    output_channel_dim = 0

    def __init__(
        self,
        negative_slope: float = 0.01,
        quant: QuantType = QFXFixedPoint,
        weight_quant: QuantType = None,
        input_quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        self.negative_slope = negative_slope
        self.register_buffer("weight", torch.tensor([negative_slope]), persistent=False)
        if quant is not None or weight_quant is not None:
            options.setdefault("weight_learn_binary_point", False)
        self.fill_slots(
            quant,
            options,
            return_quant_tensor,
            weight_quant=weight_quant,
            input_quant=input_quant,
            output_quant=output_quant,
        )

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, ...) float to the same shape."""
        return self.deliver(F.prelu(self.receive(input), self.quantized("weight")))

    def constant(self, slot: str) -> Tensor:
        """The slope, (1,)."""
        return getattr(self, slot)

    def constants(self) -> dict[str, Tensor]:
        """The slope."""
        return {"weight": self.constant("weight")}

    def store_constants(self) -> None:
        """Keep the slope after its cast."""
        self.weight.copy_(self.quantized("weight"))

    def extra_repr(self) -> str:
        """The slope before its cast."""
        return f"negative_slope={self.negative_slope}"


@in_files()
class ChannelShift(QuantLayer, nn.Module):
    """Adds a learned fixed-point constant to each channel.

    Args:
        channels: number of constants.
        spatial_dims: dimensions of the input behind the channels.
        quant: quantizer of the constants.
        bias_quant: the same, by its slot.
        options: of the slot: `bias_bit_width=6`, ...
    """

    slots = (Slot.BIAS,)
    output_channel_dim = 0

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        quant: QuantType = QFXFixedPoint,
        bias_quant: QuantType = None,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        self.bias = nn.Parameter(torch.zeros(channels, *[1] * spatial_dims))
        self.fill_slots(quant, options, bias_quant=bias_quant)

    def forward(self, input: Tensor | QuantTensor) -> Tensor:
        """(batch, channels, ...) float to the same shape."""
        return self.receive(input) + self.quantized("bias")


@in_files()
class QuantRPReLU(QuantLayer, nn.Module):
    """Shift, PReLU, shift, each per channel and in fixed point (FracBNN, arXiv 2012.12206).

    `y = prelu(x + cast(shift_in.bias), cast(prelu.weight)) + cast(shift_out.bias)`.

    Args:
        channels: channels of the input.
        spatial_dims: dimensions of the input behind the channels.
        init: first value of the slopes.
        quant: quantizer of slopes and shifts.
        weight_quant: quantizer of the slopes, instead of `quant`.
        bias_quant: quantizer of both shifts, instead of `quant`.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        options: by prefix: `weight_bit_width=4`, `bias_bit_width=6`, `output_bit_width=8`, ...
    """

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        init: float = 0.25,
        quant: QuantType = QFXFixedPoint,
        weight_quant: QuantType = None,
        bias_quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        parts = {
            prefix: {key: options.pop(key) for key in list(options) if key.startswith(prefix)}
            for prefix in ("weight_", "bias_")
        }
        shift = {"quant": quant, "bias_quant": bias_quant, **parts["bias_"]}
        self.shift_in = ChannelShift(channels, spatial_dims, **shift)
        self.prelu = QuantPReLU(channels, init, quant, weight_quant, **parts["weight_"])
        self.shift_out = ChannelShift(channels, spatial_dims, **shift)
        self.fill_slots(None, options, return_quant_tensor, output_quant=output_quant)

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """(batch, channels, ...) float to the same shape."""
        return self.deliver(self.shift_out(self.prelu(self.shift_in(input))))


def bound_problems(module: nn.Hardtanh) -> Iterator[str]:
    """Bounds that are no short binary fractions."""
    for name in ("min_val", "max_val"):
        value = getattr(module, name)
        if math.isfinite(value) and not float(value * 2**_MAX_BOUND_BITS).is_integer():
            yield f"{name} must be a multiple of 2**-{_MAX_BOUND_BITS}, not {value!r}"


@in_files()
class QuantHardtanh(QuantLayer, nn.Hardtanh):
    """`nn.Hardtanh`: values clipped to `[min_val, max_val]`, which must be short binary fractions.

    Args:
        min_val: lower bound, a multiple of 2**-16; `-math.inf` for none.
        max_val: upper bound, a multiple of 2**-16; `math.inf` for none.
        quant: the same as `output_quant`.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        options: of the output slot: `output_bit_width=6`, ...
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        **options: Any,
    ) -> None:
        nn.Hardtanh.__init__(self, min_val, max_val)
        for problem in bound_problems(self):
            raise OptionError(f"QuantHardtanh: {problem}")
        self.fill_slots(quant, options, return_quant_tensor, output_quant=output_quant)

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """Any shape to the same."""
        if math.isfinite(self.min_val) and math.isfinite(self.max_val):
            return self.deliver(nn.Hardtanh.forward(self, self.receive(input)))
        low, high = (e if math.isfinite(e) else None for e in (self.min_val, self.max_val))
        return self.deliver(torch.clamp(self.receive(input), low, high))
