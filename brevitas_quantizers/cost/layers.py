"""The layers whose weights cost adders: what a budget asks of them, whatever their axes are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import brevitas.nn as qnn
import torch
from torch import Tensor, nn

from brevitas_quantizers.injectors import DerivedConstants, FixedPointQuantizer
from brevitas_quantizers.injectors.proxies import QFXBiasProxy, QFXWeightProxy
from brevitas_quantizers.nn import (
    QuantBatchNorm1d,
    QuantBatchNorm2d,
    QuantLeakyReLU,
    QuantPReLU,
)

if TYPE_CHECKING:
    from .network import Activation

_NORMS = (QuantBatchNorm1d, QuantBatchNorm2d)
_SLOPES = (QuantPReLU, QuantLeakyReLU)
_ZERO_DECAY = 0.01  # of a step


@dataclass(eq=False)
class Layer:
    """A linear layer or convolution with quantized weights.

    Attributes:
        name: of the layer.
        module: the layer.
        source: the cast that it reads, or none if it reads something else.
        sink: the cast that alone reads its sums, or none.
        behind: the layer whose sums it reads with no cast between, or none.
        ahead: the layer that alone reads its sums with no cast between, or none.
    """

    name: str
    module: Any  # one of `_KINDS`
    source: Activation | None = None
    sink: Activation | None = None
    behind: Layer | None = None
    ahead: Layer | None = None

    @property
    def weight(self) -> Tensor:
        """Latent weights, (outputs, inputs of a group, ...)."""
        return self.module.weight

    @property
    def latent(self) -> nn.Parameter | None:
        """The weights as they train, or none where they are computed."""
        return self.module.weight

    @property
    def trains(self) -> bool:
        """Whether training changes the weights."""
        return not isinstance(self.module, QuantLeakyReLU)

    @property
    def quantizer(self) -> FixedPointQuantizer:
        """The quantizer of the weights."""
        return self.module.weight_quant.quantizer

    @property
    def bias_quantizer(self) -> FixedPointQuantizer | None:
        """The quantizer of the bias, or none."""
        proxy = getattr(self.module, "bias_quant", None)
        has_bias = isinstance(proxy, QFXBiasProxy) and self.module.bias is not None
        return proxy.quantizer if has_bias else None

    @property
    def bias(self) -> Tensor:
        """What the quantizer of the bias casts."""
        return self.module.bias

    @property
    def groups(self) -> int:
        """Groups of a convolution; 1 of a linear layer."""
        return getattr(self.module, "groups", 1)

    @property
    def inputs(self) -> int:
        """Channels that it reads."""
        return int(self.weight.shape[1]) * self.groups

    @property
    def outputs(self) -> int:
        """Channels of its sums."""
        return int(self.weight.shape[0])

    @property
    def spatial_dims(self) -> int:
        """Dimensions of its sums behind the channels; a linear layer has channels last."""
        return self.weight.ndim - 2

    @property
    def axis(self) -> int:
        """Of the channels, in its input and its sums."""
        return 1 if self.spatial_dims else -1

    @property
    def copies(self) -> int:
        """Channels that share a weight."""
        return 1

    def positions(self, x: Tensor, y: Tensor) -> int:
        """How often its adders stand side by side, for these inputs and sums."""
        return y[0].numel() // self.outputs

    def curvature(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Of each weight, over a batch: `Var(input) * E[gradient of the sum ** 2]`.

        Args:
            x: its input, (batch, channels, ...).
            gradient: of its sums.
        """
        inputs = x.float().movedim(self.axis, 0).flatten(1)
        power = inputs.square().mean(1)
        variance = (power - inputs.mean(1).square()).clamp_(min=0) + 1e-6 * power.mean()
        slopes = gradient.float().square().movedim(self.axis, 0).flatten(1).sum(1)
        return self.over_inputs(variance) * self.over_outputs(slopes / len(gradient))

    def by_input(self, values: Tensor) -> Tensor:
        """Sums over everything but input channels: of the weight's shape to (inputs,)."""
        rows = values.reshape(self.groups, -1, *values.shape[1:]).sum(1)
        return rows.reshape(self.inputs, -1).sum(1)

    def by_output(self, values: Tensor) -> Tensor:
        """Sums over everything but output channels: of the weight's shape to (outputs,)."""
        return values.flatten(1).sum(1)

    def over_inputs(self, values: Tensor) -> Tensor:
        """(inputs,) as a factor of the weight: (1 or outputs, inputs of a group, 1, ...)."""
        weight = self.weight
        if self.groups == 1:
            return values.reshape(1, -1, *[1] * (weight.ndim - 2))
        rows = values.reshape(self.groups, 1, -1)
        rows = rows.expand(-1, weight.shape[0] // self.groups, -1)
        return rows.reshape(weight.shape[0], weight.shape[1], *[1] * (weight.ndim - 2))

    def over_outputs(self, values: Tensor) -> Tensor:
        """(outputs,) as a factor of the weight."""
        return values.reshape(-1, *[1] * (self.weight.ndim - 1))


class Transposed(Layer):
    """A transposed convolution: weights (inputs, outputs of a group, ...)."""

    @property
    def inputs(self) -> int:
        """Channels that it reads."""
        return int(self.weight.shape[0])

    @property
    def outputs(self) -> int:
        """Channels of its sums."""
        return int(self.weight.shape[1]) * self.groups

    def positions(self, x: Tensor, y: Tensor) -> int:
        """Every input is multiplied by every weight."""
        return x[0].numel() // self.inputs

    def curvature(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Of the gradients of all places, those that an input reaches through one weight."""
        share = self.positions(x, gradient) * self.outputs / gradient[0].numel()
        return super().curvature(x, gradient) * share

    def by_input(self, values: Tensor) -> Tensor:
        """(inputs,)"""
        return values.flatten(1).sum(1)

    def by_output(self, values: Tensor) -> Tensor:
        """(outputs,)"""
        groups = values.reshape(self.groups, -1, *values.shape[1:])
        return groups.transpose(1, 2).flatten(2).sum(2).flatten()

    def over_inputs(self, values: Tensor) -> Tensor:
        """(inputs,) as a factor of the weight."""
        return values.reshape(-1, *[1] * (self.weight.ndim - 1))

    def over_outputs(self, values: Tensor) -> Tensor:
        """(outputs,) as a factor of the weight."""
        weight = self.weight
        rows = values.reshape(self.groups, 1, -1).expand(-1, weight.shape[0] // self.groups, -1)
        return rows.reshape(weight.shape[0], weight.shape[1], *[1] * (weight.ndim - 2))


class Scale(Layer):
    """A batch norm: one weight for each channel."""

    @property
    def weight(self) -> Tensor:
        """The scale by the running statistics, in the shape that the quantizer sees."""
        module = self.module
        return module.constant("weight") if isinstance(module, DerivedConstants) else module.weight

    @property
    def latent(self) -> nn.Parameter | None:
        """None: a batch norm's scale is computed, a slope may well be small."""
        return None

    @property
    def bias(self) -> Tensor:
        """The offset by the running statistics."""
        return self.module.constant("bias").flatten()

    @property
    def inputs(self) -> int:
        """Channels that it reads."""
        return self.outputs

    @property
    def outputs(self) -> int:
        """Channels of its results."""
        return self.weight.numel() if self.behind is None else self.behind.outputs

    @property
    def spatial_dims(self) -> int:
        """As of what is in front of it."""
        if self.behind is not None:
            return self.behind.spatial_dims
        return 2 * isinstance(self.module, QuantBatchNorm2d)

    @property
    def axis(self) -> int:
        """Of the channels, as of the float layers."""
        return 1

    @property
    def copies(self) -> int:
        """Channels that share a weight."""
        return self.outputs // self.weight.numel()

    def by_input(self, values: Tensor) -> Tensor:
        """(channels,)"""
        return values.flatten().expand(self.outputs)

    by_output = by_input

    def over_inputs(self, values: Tensor) -> Tensor:
        """(channels,) as a factor of the weight; where they share one, the largest."""
        weight = self.weight
        return values.reshape(weight.numel(), -1).amax(1).reshape(weight.shape)

    over_outputs = over_inputs


class Slope(Scale):
    """A PReLU: a slope for each channel, or one for all, of negative inputs."""

    def curvature(self, x: Tensor, gradient: Tensor) -> Tensor:
        """`E[(input * gradient) ** 2]` of the negative inputs: no bias takes their mean."""
        moved = (x.float().clamp(max=0) * gradient.float()).square().movedim(self.axis, 0)
        weight = self.weight
        return moved.reshape(weight.numel(), -1).sum(1).reshape(weight.shape) / len(x)


_KINDS: tuple[tuple[tuple[type[nn.Module], ...], type[Layer]], ...] = (
    ((qnn.QuantLinear, qnn.QuantConv1d, qnn.QuantConv2d), Layer),
    ((qnn.QuantConvTranspose1d, qnn.QuantConvTranspose2d), Transposed),
    (_NORMS, Scale),
    (_SLOPES, Slope),
)


def layer_of(name: str, module: nn.Module | None) -> Layer | None:
    """The layer that `module` is; none if it is no layer whose weights have a QFX quantizer."""
    if not isinstance(getattr(module, "weight_quant", None), QFXWeightProxy):
        return None
    assert module is not None
    return next((kind(name, module) for types, kind in _KINDS if isinstance(module, types)), None)


def decay_zeros(layers: Iterable[Layer], digits: Mapping[str, Tensor], steps: int) -> None:
    """Shrink the latents of zero codes: the optimizer would walk them over the threshold.

    Args:
        layers: with latents of their own or without.
        digits: of each weight, as they were decided; the others are counted.
        steps: training steps since the last time.
    """
    for layer in layers:
        weight = layer.latent
        limit: Any = layer.quantizer.largest
        if weight is None:
            continue
        known = digits.get(layer.name)
        known = layer.quantizer.count(weight) if known is None else known
        weight.mul_(1 - (1 - (1 - _ZERO_DECAY) ** steps) * (known == 0))
        weight.copy_(torch.minimum(torch.maximum(weight, -limit), limit))


def held_digits(layers: Iterable[Layer]) -> dict[str, Tensor]:
    """Copies of the digits that layers keep between measurements, by name."""
    held = {layer.name: layer.quantizer.held for layer in layers}
    return {name: values.clone() for name, values in held.items() if values is not None}
