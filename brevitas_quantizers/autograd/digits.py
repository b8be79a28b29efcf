"""Weights whose signed digits have a price, differentiable.

For every weight the code is the one, among zero and the nearest codes of at most 1, 2, ... digits,
with the least of `0.5 * curvature * error**2 + price * digits`: what the loss is expected to lose,
and what the digits cost. The backward pass is straight through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from .cast import binary_point_gradient
from .modes import exact_exp2

NO_DIGIT = 1e30
"""A price that no digit is worth; finite, so that zero digits cost nothing."""


def digit_table(sets: Sequence[Sequence[int] | NDArray[np.int64]]) -> Tensor:
    """The nearest codes of every number of digits, found by one look.

    Middles between codes are multiples of 1/2, so that the nearest codes of `r` follow from
    `ceil(2 * abs(r))` and the sign; a tie goes toward zero.

    Args:
        sets: for 1, 2, ... digits, all codes with at most so many, ascending.

    Returns:
        (2 * places, digits + 1) codes of 0, 1, ... digits: of positive values, then of negative.
    """
    codes = [torch.tensor([0.0]), *(torch.tensor(c, dtype=torch.float32) for c in sets)]
    halves = [(c[c >= 0], (-c[c <= 0]).flip(0)) for c in codes]
    largest = max(float(part[-1]) for pair in halves for part in pair)
    r = torch.arange(2 * int(largest) + 2) / 2  # the upper end of each place belongs to it
    signed = []
    for side, sign in ((0, 1.0), (1, -1.0)):
        nearest = [_nearest_magnitude(r, pair[side]) * sign for pair in halves]
        signed.append(torch.stack(nearest, dim=1))
    return torch.cat(signed) + 0.0


def _nearest_magnitude(r: Tensor, codes: Tensor) -> Tensor:
    """The nearest of ascending `codes` from 0 on; a tie goes toward zero."""
    return codes[torch.bucketize(r, (codes[1:] + codes[:-1]) / 2)]


def digits_cast(
    x: Tensor, frac_bits: Tensor, codes: Tensor, curvature: Tensor, price: Tensor
) -> Tensor:
    """Cast `x` to the values of least expected loss and price.

    Args:
        x: any shape, float32 or float64.
        frac_bits: latent of the binary point in bits, broadcastable to `x`; its nearest integer
            is used.
        codes: of `digit_table`, in `x`'s dtype.
        curvature: second derivative of the loss by each element, broadcastable to `x`.
        price: loss that a digit has to save, broadcastable to `x`; `NO_DIGIT` where none may be.

    Returns:
        Values `code * 2**-frac_bits`, shape and dtype of `x`.
    """
    return _DigitsCast.apply(x, frac_bits, codes, curvature, price)


def best_codes(r: Tensor, codes: Tensor, weight: Tensor, price: Tensor) -> tuple[Tensor, Tensor]:
    """The codes of least `weight * (r - code)**2 + price * digits`; of equals the fewest digits.

    Args:
        r: any shape, values in LSB units.
        codes: of `digit_table`.
        weight: half the curvature by the code, broadcastable to `r`.
        price: of a digit, broadcastable to `r`.

    Returns:
        The codes, and how many digits each was allowed.
    """
    losses, candidates = losses_by_digits(r, codes, weight)
    digits = cheapest(losses, price)
    return candidates.gather(-1, digits.unsqueeze(-1)).squeeze(-1), digits


def losses_by_digits(r: Tensor, codes: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Expected losses with at most 0, 1, ... digits, and the codes; (..., digits + 1) each."""
    places = len(codes) // 2
    last = places - 1  # also of what is not a number
    place = (2 * r.abs()).ceil_().clamp_(max=last).nan_to_num_(nan=last).long()
    place = place + (r < 0) * places
    candidates = F.embedding(place, codes)
    return (r.unsqueeze(-1) - candidates).square_().mul_(weight.unsqueeze(-1)), candidates


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
    planes = losses.movedim(-1, 0).contiguous().unbind(0)
    values = []
    for end in range(1, len(planes)):
        least: Any = None  # a tensor after the first start
        for start in range(end):
            slope = (planes[start] - planes[end]) / (end - start)
            for later in range(end + 1, len(planes)):
                slope = torch.maximum(slope, (planes[start] - planes[later]) / (later - start))
            least = slope if least is None else torch.minimum(least, slope)
        values.append(least)
    return torch.stack(values, dim=-1)


def _lsb(frac_bits: Tensor) -> tuple[Any, Any]:
    """The LSB and its inverse; numbers where that saves small operations."""
    if frac_bits.ndim == 0 and frac_bits.device.type == "cpu" and not torch.compiler.is_compiling():
        point = round(frac_bits.item())
        return 2.0**-point, 2.0**point
    points = torch.round(frac_bits)
    return exact_exp2(-points), exact_exp2(points)


class _DigitsCast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        frac_bits: Tensor,
        codes: Tensor,
        curvature: Tensor,
        price: Tensor,
    ) -> Tensor:
        lsb, inverse = _lsb(frac_bits)
        weight = curvature * (0.5 * lsb * lsb)
        y = best_codes(x * inverse, codes, weight, price)[0].mul_(lsb)
        ctx.save_for_backward(x, y, frac_bits, codes)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, frac_bits, codes = ctx.saved_tensors
        r = x * _lsb(frac_bits)[1]
        grad_x = grad * ((r >= codes[-1, -1] - 0.5) & (r <= codes.amax() + 0.5))
        grad_point = None
        if ctx.needs_input_grad[1]:
            grad_point = binary_point_gradient(grad, grad_x, x, y, frac_bits.shape)
        return grad_x, grad_point, None, None, None
