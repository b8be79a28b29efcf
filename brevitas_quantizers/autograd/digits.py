"""Weights whose signed digits have a price, differentiable.

For every weight the code is the one, among zero and the nearest codes of at most 1, 2, ... digits,
with the least of `0.5 * curvature * error**2 + price * digits`: what the loss is expected to lose,
and what the digits cost. The backward pass is straight through.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from .cast import binary_point_gradient
from .modes import exact_exp2

NO_DIGIT = 1e30
"""A price that no digit is worth; finite, so that zero digits cost nothing."""


class DigitTable:
    """The nearest codes of every number of digits, found by one search.

    Attributes:
        bounds: (intervals - 1,) magnitudes, ascending, at which a nearest code changes.
        codes: (2 * intervals, digits + 1) nearest codes of 0, 1, ... digits: of positive values,
            then of negative ones.
    """

    def __init__(self, codes: Sequence[Sequence[int] | NDArray[np.int64]]) -> None:
        """Args: codes: for 1, 2, ... digits, all codes with at most so many, ascending."""
        sets = [torch.tensor([0.0]), *(torch.tensor(c, dtype=torch.float32) for c in codes)]
        halves = [(s[s >= 0], (-s[s <= 0]).flip(0)) for s in sets]
        middles = [(part[1:] + part[:-1]) / 2 for pair in halves for part in pair]
        self.bounds = torch.unique(torch.cat(middles))
        inside = torch.cat([self.bounds, self.bounds[-1:] + 1])  # a bound belongs to what is below
        signed = []
        for side, sign in ((0, 1.0), (1, -1.0)):
            nearest = [_nearest_magnitude(inside, pair[side]) * sign for pair in halves]
            signed.append(torch.stack(nearest, dim=1))
        self.codes = torch.cat(signed) + 0.0


def _nearest_magnitude(r: Tensor, codes: Tensor) -> Tensor:
    """The nearest of ascending `codes` from 0 on; a tie goes toward zero."""
    return codes[torch.bucketize(r, (codes[1:] + codes[:-1]) / 2)]


def digits_cast(
    x: Tensor, frac_bits: Tensor, bounds: Tensor, codes: Tensor, curvature: Tensor, price: Tensor
) -> Tensor:
    """Cast `x` to the values of least expected loss and price.

    Args:
        x: any shape, float32 or float64.
        frac_bits: latent of the binary point in bits, broadcastable to `x`; its nearest integer
            is used.
        bounds: of a `DigitTable`, in `x`'s dtype.
        codes: of a `DigitTable`, in `x`'s dtype.
        curvature: second derivative of the loss by each element, broadcastable to `x`.
        price: loss that a digit has to save, broadcastable to `x`; `NO_DIGIT` where none may be.

    Returns:
        Values `code * 2**-frac_bits`, shape and dtype of `x`.
    """
    return _DigitsCast.apply(x, frac_bits, bounds, codes, curvature, price)


def best_codes(
    r: Tensor, bounds: Tensor, codes: Tensor, weight: Tensor, price: Tensor
) -> tuple[Tensor, Tensor]:
    """The codes of least `weight * (r - code)**2 + price * digits`; of equals the fewest digits.

    Args:
        r: any shape, values in LSB units.
        bounds: of a `DigitTable`.
        codes: of a `DigitTable`.
        weight: half the curvature by the code, broadcastable to `r`.
        price: of a digit, broadcastable to `r`.

    Returns:
        The codes, and how many digits each was allowed.
    """
    losses, candidates = losses_by_digits(r, bounds, codes, weight)
    digits = cheapest(losses, price)
    return candidates.gather(-1, digits.unsqueeze(-1)).squeeze(-1), digits


def losses_by_digits(
    r: Tensor, bounds: Tensor, codes: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Expected losses with at most 0, 1, ... digits, and the codes; (..., digits + 1) each."""
    place = torch.bucketize(r.abs(), bounds) + (r < 0) * (bounds.numel() + 1)
    candidates = codes[place]
    return (r.unsqueeze(-1) - candidates).square() * weight.unsqueeze(-1), candidates


def cheapest(losses: Tensor, price: Tensor) -> Tensor:
    """How many digits have the least loss and price.

    Args:
        losses: (..., digits + 1), of `losses_by_digits`.
        price: of a digit, broadcastable to the shape without the last axis.
    """
    digits = torch.arange(losses.shape[-1], device=losses.device, dtype=losses.dtype)
    return (losses + price.unsqueeze(-1) * digits).argmin(-1)


def digit_values(losses: Tensor) -> Tensor:
    """The price at which each digit is given up: (..., digits), falling.

    At a price above the k-th, `cheapest` has less than k digits: the slopes of the convex hull of
    the losses.
    """
    count = losses.shape[-1]
    best = []
    for end in range(1, count):
        starts = []
        for start in range(end):
            saved = losses[..., start : start + 1] - losses[..., end:]
            steps = torch.arange(end - start, count - start, device=losses.device)
            starts.append((saved / steps).amax(-1))
        best.append(torch.stack(starts).amin(0))
    return torch.stack(best, dim=-1)


class _DigitsCast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        frac_bits: Tensor,
        bounds: Tensor,
        codes: Tensor,
        curvature: Tensor,
        price: Tensor,
    ) -> Tensor:
        point = torch.round(frac_bits)
        lsb = exact_exp2(-point)
        weight = 0.5 * curvature * lsb * lsb
        y = best_codes(x * exact_exp2(point), bounds, codes, weight, price)[0] * lsb
        ctx.save_for_backward(x, y, frac_bits, codes)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, frac_bits, codes = ctx.saved_tensors
        r = x * exact_exp2(torch.round(frac_bits))
        grad_x = grad * ((r >= codes[-1, -1] - 0.5) & (r <= codes.max() + 0.5))
        grad_point = None
        if ctx.needs_input_grad[1]:
            grad_point = binary_point_gradient(grad, grad_x, x, y, frac_bits.shape)
        return grad_x, grad_point, None, None, None, None
