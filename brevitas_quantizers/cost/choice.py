"""Formats by price: what a bit of an activation saves in loss against what it costs in adders."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .statistics import INTEGERS_BELOW, FormatErrors

MIN_BITS = 2
_FIRST_BITS = 6


@dataclass(frozen=True)
class Choice:
    """A format for an activation.

    Attributes:
        width: word length in bits, of all channels.
        points: fraction bits: (channels,), or 0-dimensional for one format.
    """

    width: int
    points: Tensor


def choose_format(
    errors: FormatErrors, price: float, digits: Tensor, bits: int, signed: bool, one_point: bool
) -> Choice:
    """The word length, and the binary points, of least expected loss and price.

    Args:
        errors: measured errors.
        price: loss that a bit of an adder has to save.
        digits: (channels,) adders that each channel is read by, and what its cast counts.
        bits: longest word.
        signed: whether a bit of the word is the sign.
        one_point: whether all channels share the binary point.
    """
    rounding = 0.5 * errors.curvature * errors.rounding
    clipping = 0.5 * errors.curvature * errors.clipping
    if one_point:
        rounding, clipping = rounding.sum(1, keepdim=True), clipping.sum(1, keepdim=True)
    else:  # of a channel that nothing reads, the range of the largest value
        rounding, clipping = rounding * (digits > 0), clipping * (digits > 0)
        clipping[:INTEGERS_BELOW, digits <= 0] = 1.0
    integers = torch.arange(len(clipping), device=clipping.device)
    least, best = float("inf"), Choice(bits, clipping.new_zeros(()))
    per_bit = price * float(digits.sum())
    for width in range(MIN_BITS, bits + 1):
        fraction = width - int(signed) - errors.first_integer - integers
        index = (fraction - errors.first_fraction).clamp(0, len(rounding) - 1)
        loss, choice = (rounding[index] + clipping).min(0)
        total = float(loss.sum()) + per_bit * width
        if total < least:
            points = fraction[choice].to(clipping.dtype)
            least, best = total, Choice(width, points.reshape(()) if one_point else points)
    return best


def first_format(errors: FormatErrors, bits: int, signed: bool) -> Choice:
    """The format before there is a price: up to 1, or to what the first batch needs.

    A network that begins within narrow bounds stays within them: fresh ones learn better so.
    """
    width = min(bits, _FIRST_BITS)
    integer_bits = max(0, errors.first_integer + INTEGERS_BELOW)
    return Choice(width, errors.variance.new_tensor(float(width - int(signed) - integer_bits)))


def not_worth(errors: FormatErrors, price: float, digits: Tensor) -> Tensor:
    """(channels,) bool: whether reading a channel costs more than its variance is worth.

    Args:
        errors: measured errors.
        price: loss that a bit of an adder has to save.
        digits: (channels,) bits of adders that end with the channel.
    """
    return (0.5 * errors.curvature * errors.variance <= price * digits) & (digits > 0)
