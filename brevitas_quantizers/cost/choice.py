"""Formats by price: what a bit of an activation saves in loss against what it costs in adders."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .statistics import INTEGERS_BELOW, MIN_BITS, FormatErrors

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
    errors: FormatErrors, price: float, digits: Tensor, signed: bool, one_point: bool
) -> Choice:
    """The word length, and the binary points, of least expected loss and price.

    Args:
        errors: measured errors.
        price: loss that a bit of an adder has to save.
        digits: (channels,) adders that each channel is read by, and what its cast counts.
        signed: whether a bit of the word is the sign.
        one_point: whether all channels share the binary point.
    """
    losses = 0.5 * errors.curvature * errors.casting
    if one_point:
        losses = losses.sum(2, keepdim=True)
    else:  # of a channel that nothing reads, the range of the largest value
        losses = losses * (digits > 0)
        losses[:, :INTEGERS_BELOW, digits <= 0] = 1.0
    loss, integers = losses.min(1)
    widths = torch.arange(MIN_BITS, MIN_BITS + len(losses), device=losses.device)
    best = int((loss.sum(1) + price * digits.sum() * widths).argmin())
    width = MIN_BITS + best
    points = width - int(signed) - errors.first_integer - integers[best]
    points = points.to(losses.dtype)
    return Choice(width, points.reshape(()) if one_point else points)


def first_format(errors: FormatErrors, bits: int, signed: bool) -> Choice:
    """The format before there is a price: up to 1, or to what the first batch needs.

    A network that begins within narrow bounds stays within them: fresh ones learn better so.
    """
    width = min(bits, _FIRST_BITS)
    integer_bits = max(0, errors.first_integer + INTEGERS_BELOW)
    return Choice(width, errors.variance.new_tensor(float(width - int(signed) - integer_bits)))


def not_worth(errors: FormatErrors, price: float, digits: Tensor) -> Tensor:
    """(channels,) bool: whether reading a channel costs more than its variance is worth.

    The one that is worth the most stays.

    Args:
        errors: measured errors.
        price: loss that a bit of an adder has to save.
        digits: (channels,) bits of adders that end with the channel.
    """
    worth = 0.5 * errors.curvature * errors.variance
    gone = (worth <= price * digits) & (digits > 0)
    if bool((gone | (digits <= 0)).all()):  # nothing would be left to learn from
        gone[torch.where(digits > 0, worth, -1.0).argmax()] = False
    return gone
