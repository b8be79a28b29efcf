"""Helpers of the training loop: freeze statistics and binary points, keep within a bit budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .fixed_point import OptionError
from .injectors.quantizers import FixedPointQuantizer
from .injectors.slots import Slot
from .nn import QuantBatchNorm1d, QuantBatchNorm2d
from .prepare import named_quantizers


@torch.no_grad()
def freeze_binary_points(model: nn.Module) -> nn.Module:
    """Round every binary point (and learned word length) to its integer and stop training it.

    Late in training a latent near a half flips the format to and fro; from here on only weights
    change. The forward pass gives the same bits before and after.

    Args:
        model: a model with QFX quantizers; changed in place.

    Returns:
        The model.
    """
    for _, quantizer in named_quantizers(model):
        for latent in quantizer.parameters(recurse=False):
            latent.round_()
            latent.requires_grad_(False)
        quantizer.settle()
    return model


def freeze_statistics(model: nn.Module, frozen: bool = True) -> nn.Module:
    """Let every fixed-point batch norm train on its running statistics, or resume batch statistics.

    A scale at few bits is another code for each batch, and yet another for the running variance
    that is deployed: the other weights then learn to live with scales that never come. Frozen,
    training computes what is deployed. Start so when the float network was trained; otherwise
    freeze when the running statistics have settled.

    Args:
        model: a model with `QuantBatchNorm1d` or `2d`; changed in place.
        frozen: false resumes.

    Returns:
        The model.
    """
    for layer in model.modules():
        if isinstance(layer, QuantBatchNorm1d | QuantBatchNorm2d):
            layer.freeze_statistics(frozen)
    return model


@dataclass(frozen=True)
class BitBudget:
    """A penalty that keeps learned word lengths within a budget.

    Add `budget.penalty(model)` to the loss. It is zero while the model is within the budget and
    grows with the relative excess, so that the loss decides where the bits go.

    Attributes:
        average_bits: allowed mean word length, in bits: over all weight and bias values.
        strength: penalty for an excess of 100 %.
    """

    average_bits: float
    strength: float = 10.0

    def __post_init__(self) -> None:
        for name in ("average_bits", "strength"):
            if not getattr(self, name) > 0:
                raise OptionError(
                    f"BitBudget: {name} must be positive, not {getattr(self, name)!r}"
                )

    def penalty(self, model: nn.Module) -> Tensor:
        """The penalty, differentiable in the learned word lengths.

        Raises:
            OptionError: the model has no learned word length.
        """
        bits = average_parameter_bits(model)
        if not bits.requires_grad:
            raise OptionError(
                f"BitBudget: {type(model).__name__} must have a weight or bias quantizer with "
                "learn_bit_width=True, not 0"
            )
        return self.strength * torch.relu(bits / self.average_bits - 1)


def average_parameter_bits(model: nn.Module) -> Tensor:
    """Mean word length of all quantized weights and biases, in bits; 0-dimensional.

    Rounded as in the forward pass; the gradient passes straight through the rounding.

    Raises:
        OptionError: the model has no quantized parameter.
    """
    total, count = torch.zeros(()), 0
    for name, quantizer in named_quantizers(model):
        slot = name.rpartition(".")[2]
        if slot in {member.value for member in Slot if member.is_parameter}:
            values = _parameter_of(model, name).numel()
            total = total + values * _straight_through_width(quantizer)
            count += values
    if count == 0:
        raise OptionError(f"{type(model).__name__} must have a quantized weight or bias, not 0")
    return total / count


def _parameter_of(model: nn.Module, name: str) -> Tensor:
    return dict(model.named_parameters())[name]


def _straight_through_width(quantizer: FixedPointQuantizer) -> Tensor:
    width = quantizer.width
    if not isinstance(width, Tensor):
        return torch.tensor(float(width))
    return width + (width.round() - width).detach()
