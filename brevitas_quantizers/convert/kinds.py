"""The float operations that have a fixed-point form, by what they do to the range of a value."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Add(nn.Module):
    """Element-wise sum of two tensors; stands for `+`, `torch.add` and `operator.iadd`."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch, ...) and (batch, ...) to their sum."""
        return x + y


class Mul(nn.Module):
    """Element-wise product of two tensors; stands for `*` and `torch.mul`."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(batch, ...) and (batch, ...) to their product."""
        return x * y


class Cat(nn.Module):
    """Concatenation of channels; stands for `torch.cat`."""

    def forward(self, tensors: Sequence[Tensor]) -> Tensor:
        """List of (batch, channels, ...) to (batch, sum of channels, ...)."""
        return torch.cat(list(tensors), dim=1)


class CastPoint(nn.Module):
    """The place of an activation quantizer.

    Args:
        non_negative: whether no value can be below zero.
        is_input: whether it stands behind an input of the network.
    """

    def __init__(self, non_negative: bool = False, is_input: bool = False) -> None:
        super().__init__()
        self.non_negative = non_negative
        self.is_input = is_input

    def forward(self, x: Tensor) -> Tensor:
        """`x` itself."""
        return x


WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
RAMPS = (nn.ReLU, nn.ReLU6, nn.Hardtanh)
SLOPES = (nn.PReLU, nn.LeakyReLU)
POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
MERGES = (Add, Mul, Cat)
MOVERS = (nn.MaxPool1d, nn.MaxPool2d, nn.Flatten, nn.Identity)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)

HANDLED = WEIGHTED + NORMS + RAMPS + SLOPES + POOLS + MERGES + MOVERS + DROPOUTS + (CastPoint,)

PASS_ON = MOVERS + DROPOUTS
"""Give on what they are given: no value grows."""
TAKE_WIDE = RAMPS + SLOPES + NORMS
"""May stand directly behind an accumulator."""
GROW = WEIGHTED + NORMS + SLOPES + POOLS + MERGES
"""Their results need more bits than their operands."""
NOT_NEGATIVE = (nn.ReLU, nn.ReLU6)
KEEP_SIGN = PASS_ON + POOLS + MERGES
"""Not negative, where no operand is."""


def base_type(module: nn.Module) -> type[nn.Module] | None:
    """The handled type that computes `module`, also where a subclass adds no forward of its own."""
    for kind in type(module).__mro__:
        if kind in HANDLED:
            own = [name for name in ("forward", "_conv_forward") if hasattr(kind, name)]
            same = all(getattr(type(module), name) is getattr(kind, name) for name in own)
            return kind if same else None
    return None
