"""FracBNN as published: the float network, and the number formats of the released accelerator.

A half block quantizes its input to the levels -1, -1/3, 1/3, 1, convolves their signs (times 2/3)
with binary weights, and where that exceeds a learned threshold takes the convolution of the
levels themselves (arXiv 2012.12206, section 3.2). Zero padding, also of the signs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brevitas_quantizers.autograd import fixed_point_cast
from brevitas_quantizers.fixed_point import FixedPointFormat, OverflowMode, RoundingMode

from .parameters import Parameters

Cast = Callable[[Tensor], Tensor]

FEATURE_FORMAT = FixedPointFormat(16, 9)
"""Feature maps of the released accelerator: ap_fixed<16,9,AP_RND,AP_SAT>."""
CONSTANT_FORMAT = FixedPointFormat(12, 4)
"""Constants of the released accelerator: ap_fixed<12,4,AP_RND,AP_SAT>."""


def cast_to(fmt: FixedPointFormat) -> Cast:
    """The cast to `fmt`, AP_RND and AP_SAT, without gradient."""

    def cast(x: Tensor) -> Tensor:
        point = torch.tensor(float(fmt.frac_bits), dtype=x.dtype)
        modes = RoundingMode.AP_RND, OverflowMode.AP_SAT
        return fixed_point_cast(x.detach(), point, fmt.width, fmt.signed, *modes)

    return cast


def _keep(x: Tensor) -> Tensor:
    return x


class ReferenceFracBNN(nn.Module):
    """The float network; scales, offsets, slopes and classifier can be trained.

    Args:
        parameters: of the network.
        feature: cast of every result of an element-wise operation.
        constant: cast of every constant.

    Attributes:
        observer: told the name and the result of each batch norm, if there is one.
    """

    conv1_weight: Tensor
    linear_weight: Tensor
    linear_bias: Tensor

    def __init__(
        self, parameters: Parameters, feature: Cast = _keep, constant: Cast = _keep
    ) -> None:
        super().__init__()
        self.architecture = parameters.architecture
        self.observer: Callable[[str, Tensor], None] | None = None
        self.feature, self._scales = feature, constant(torch.tensor([2.0, 1.0]) / 3.0)
        for name, array in parameters.arrays.items():
            values = torch.tensor(array)
            if "conv" in name and name.endswith("weight"):
                self.register_buffer(name, torch.where(values > 0, 1.0, -1.0))
            elif name.endswith("threshold"):
                self.register_buffer(name, constant(values))
            else:
                self.register_parameter(name, nn.Parameter(constant(values)))

    def forward(self, images: Tensor) -> Tensor:
        """(batch, colours, height, width) in [0, 1) to (batch, classes) logits."""
        images = images.to(self.conv1_weight.dtype)
        x = F.conv2d(self.encode(images), self.conv1_weight, padding=1)
        x = self._norm(x, "bn1")
        for prefix, inputs, outputs in self.architecture.block_names():
            shortcut = x
            if inputs != outputs:
                shortcut = self.feature(F.avg_pool2d(x, 2)).repeat(1, 2, 1, 1)
            x = self._half(x, shortcut, prefix, 1, 1 if inputs == outputs else 2)
            x = self._half(x, x, prefix, 2, 1)
        return self._classify(self.feature(x.mean((2, 3))))

    def encode(self, images: Tensor) -> Tensor:
        """Thermometer code: level `i` of a colour is 1 where `i < round(levels * colour)`."""
        levels = self.architecture.levels
        filled = torch.round(images * levels).unsqueeze(2)  # a tie goes to the even number
        bits = torch.arange(levels).view(1, 1, -1, 1, 1) < filled
        return bits.flatten(1, 2).to(images.dtype) * 2 - 1

    def _half(self, x: Tensor, shortcut: Tensor, prefix: str, half: int, stride: int) -> Tensor:
        x = self._convolve(x, f"{prefix}_conv{half}", stride)
        x = self._norm(x, f"{prefix}_bn{half}")
        x = self.feature(x + self._channels(f"{prefix}_rprelu{half}_shift_x_bias"))
        x = self.feature(F.prelu(x, getattr(self, f"{prefix}_rprelu{half}_prelu_weight")))
        x = self.feature(x + self._channels(f"{prefix}_rprelu{half}_shift_y_bias"))
        return self._norm(self.feature(x + shortcut), f"{prefix}_bn{half + 2}")

    def _convolve(self, x: Tensor, name: str, stride: int) -> Tensor:
        """Fractional convolution; both parts are whole numbers before they are scaled."""
        levels = _levels(x)  # three times the 2-bit value
        sign = _sign(levels)
        weight = getattr(self, f"{name}_weight")
        high = F.conv2d(sign, weight, stride=stride, padding=1)
        low = F.conv2d(levels - 2 * sign, weight, stride=stride, padding=1)
        two_thirds, third = self._scales
        gate = two_thirds * high > self._channels(f"{name}_threshold")
        y = self.feature(self.feature(high) * two_thirds)
        return torch.where(gate, self.feature(y + self.feature(low) * third), y)

    def _classify(self, x: Tensor) -> Tensor:
        return F.linear(x, self.linear_weight, self.linear_bias)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        scale, offset = self._channels(f"{name}_weight"), self._channels(f"{name}_bias")
        y = self.feature(x * scale + offset)
        if self.observer is not None:
            self.observer(name, y)
        return y

    def _channels(self, name: str) -> Tensor:
        return getattr(self, name).view(1, -1, 1, 1)


class ReleasedFracBNN(ReferenceFracBNN):
    """The network in the formats of the released accelerator, rounded where it rounds.

    It computes in float64, which is exact there; it cannot be trained.
    """

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters, cast_to(FEATURE_FORMAT), cast_to(CONSTANT_FORMAT))
        self._scales = self._scales.double()
        self.double().eval().requires_grad_(False)

    def _classify(self, x: Tensor) -> Tensor:
        """The classifier rounds its running sum after each of its inputs."""
        sums = self.linear_bias.expand(len(x), -1)
        for feature, weights in zip(x.T, self.linear_weight.T, strict=True):
            sums = self.feature(sums + feature[:, None] * weights)
        return sums


def _levels(x: Tensor) -> Tensor:
    """Odd numbers from -3 to 3; straight-through inside the range."""
    y = 2 * torch.floor(1.5 * x).clamp(-2, 1) + 1
    ste = 3 * x.clamp(-1, 1)
    return ste + (y - ste).detach()


def _sign(levels: Tensor) -> Tensor:
    """-1 or 1; straight-through with slope 1 for the 2-bit value."""
    ste = levels / 3
    return ste + (levels.sign() - ste).detach()
