"""Sums and products with plain numbers of few bits, which need no quantizer and do not train."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SHORT = 16
"""Significant bits of a number that is added as it is."""
FINEST_OFFSET = 2.0**-16


class _WithNumber(nn.Module):
    def __init__(self, value: float | Tensor) -> None:
        super().__init__()
        self.value: float | Tensor
        if isinstance(value, Tensor):
            self.register_buffer("value", value, persistent=False)
        else:
            self.value = value

    def extra_repr(self) -> str:
        """The number."""
        return str(tuple(self.value.shape) if isinstance(self.value, Tensor) else self.value)


class ScaleBy(_WithNumber):
    """Product with a number, or with one for each element; stands for `x * 0.5`, `x / 3`, `-x`.

    Args:
        value: the factor.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(...) to the same shape."""
        negates = not isinstance(self.value, Tensor) and self.value == -1
        return -x if negates else x * self.value


class ShiftBy(_WithNumber):
    """Sum with a number, or with one for each element; stands for `x + 1`, `x - 0.5`.

    Args:
        value: the offset.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(...) to the same shape."""
        return x + self.value


def rounded_factor(value: float, bits: int) -> float:
    """`value` to so many significant bits, the sign included."""
    lsb = math.ldexp(1.0, math.frexp(value)[1] - (bits - 1))
    return round(value / lsb) * lsb


def rounded_offset(value: float, bits: int) -> float:
    """Likewise, unless it is short enough, and a multiple of `FINEST_OFFSET`.

    A number that only keeps a divisor from zero becomes zero: its bits would make sums too wide.
    """
    short = rounded_factor(value, SHORT + 1)
    value = value if value == short else rounded_factor(value, bits)
    return round(value / FINEST_OFFSET) * FINEST_OFFSET


class Reduce(nn.Module):
    """Sum, mean, largest or least value over some dimensions.

    The mean over a number of elements that is no power of two is the sum times a reciprocal of
    `bits` bits.

    Args:
        kind: `"sum"`, `"mean"`, `"amax"` or `"amin"`.
        dims: which, not the batch.
        keepdim: whether they stay, of size 1.
        bits: of the reciprocal; None for the float function.
    """

    def __init__(
        self, kind: str, dims: tuple[int, ...], keepdim: bool, bits: int | None = None
    ) -> None:
        super().__init__()
        self.kind, self.dims, self.keepdim, self.bits = kind, dims, keepdim, bits

    def forward(self, x: Tensor) -> Tensor:
        """(batch, ...) float to the reduced shape."""
        elements = math.prod(int(x.shape[dim]) for dim in self.dims)
        if self.kind == "mean" and self.bits is not None and elements & (elements - 1):
            total = torch.sum(x, self.dims, self.keepdim)
            return total * rounded_factor(1 / elements, self.bits)
        reduced: Tensor = getattr(torch, self.kind)(x, self.dims, self.keepdim)
        return reduced

    def extra_repr(self) -> str:
        """The function and the dimensions."""
        return f"{self.kind}, dim={self.dims}, keepdim={self.keepdim}"
