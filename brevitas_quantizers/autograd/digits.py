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

from .cast import binary_point_gradient
from .modes import exact_exp2

NO_DIGIT = 1e30
"""A price that no digit is worth; finite, so that zero digits cost nothing."""

_FEW = 4096  # weights: of so few, leaving some out saves nothing


def digit_table(sets: Sequence[Sequence[int] | NDArray[np.int64]]) -> Tensor:
    """The nearest codes of every number of digits, found by one look.

    Middles between codes are multiples of 1/2, so that the nearest codes of `r` follow from `2 * r`
    rounded away from zero; a tie goes toward zero.

    Args:
        sets: for 1, 2, ... digits, all codes with at most so many, ascending.

    Returns:
        (digits + 1, places) codes of 0, 1, ... digits; the place in the middle is that of zero.
    """
    codes = [torch.tensor([0.0]), *(torch.tensor(c, dtype=torch.float32) for c in sets)]
    halves = [(-c[c <= 0]).flip(0) for c in codes], [c[c >= 0] for c in codes]
    largest = max(float(part[-1]) for side in halves for part in side)
    r = torch.arange(2 * int(largest) + 2) / 2  # the upper end of each place belongs to it
    low, high = (torch.stack([_nearest_magnitude(r, c) for c in side]) for side in halves)
    return torch.cat([-low[:, 1:].flip(1), high], dim=1) + 0.0


def _nearest_magnitude(r: Tensor, codes: Tensor) -> Tensor:
    """The nearest of ascending `codes` from 0 on; a tie goes toward zero."""
    return codes[torch.bucketize(r, (codes[1:] + codes[:-1]) / 2)]


def digits_cast(
    x: Tensor,
    frac_bits: Tensor,
    codes: Tensor,
    curvature: Tensor,
    price: Tensor,
    held: Tensor | None = None,
) -> Tensor:
    """Cast `x` to the values of least expected loss and price.

    Args:
        x: any shape, float32 or float64.
        frac_bits: latent of the binary point in bits, broadcastable to `x`; its nearest integer
            is used.
        codes: of `digit_table`, in `x`'s dtype.
        curvature: second derivative of the loss by each element, broadcastable to `x`.
        price: loss that a digit has to save, broadcastable to `x`; `NO_DIGIT` where none may be.
        held: how many digits each element has, where that was decided before: the code is then
            the nearest of them.

    Returns:
        Values `code * 2**-frac_bits`, shape and dtype of `x`.
    """
    return _DigitsCast.apply(x, frac_bits, codes, curvature, price, held)


def best_codes(r: Tensor, codes: Tensor, weight: Tensor, price: Tensor) -> Tensor:
    """The codes of least `weight * (r - code)**2 + price * digits`; of equals the fewest digits.

    Args:
        r: any shape, values in LSB units.
        codes: of `digit_table`.
        weight: half the curvature by the code, broadcastable to `r`.
        price: of a digit, broadcastable to `r`.
    """
    loss = weight * r.square()
    if r.numel() < _FEW or r.device.type != "cpu" or torch.compiler.is_compiling():
        return _search(r, codes, weight, price, loss)
    worth = worth_more(loss, price)  # all others lose less than one digit costs
    if len(worth) > r.numel() // 2:
        return _search(r, codes, weight, price, loss)
    parts = [part.expand_as(r).reshape(-1)[worth] for part in (r, weight, price, loss)]
    found = torch.zeros_like(r)
    found.view(-1)[worth] = _search(parts[0], codes, *parts[1:])
    return found


def worth_more(loss: Tensor, price: Tensor | float) -> Tensor:
    """Flat places where the loss without any digit is above `price`."""
    more = (loss > price).cpu().numpy()  # looks through booleans four times as fast
    return torch.from_numpy(np.flatnonzero(more)).to(loss.device)


def _search(r: Tensor, codes: Tensor, weight: Tensor, price: Tensor, best: Tensor) -> Tensor:
    places = _places(2 * r, codes)
    found = torch.zeros_like(r)
    for digits in range(1, len(codes)):
        candidate = codes[digits].index_select(0, places).view(r.shape)
        loss = _loss(r, candidate, weight).add_(price, alpha=digits)
        found.lerp_(candidate, loss.clone().lt_(best))  # by 0 or 1: faster than booleans
        best = torch.minimum(best, loss)
    return found


def losses_by_digits(r: Tensor, codes: Tensor, weight: Tensor) -> Tensor:
    """Expected losses with at most 0, 1, ... digits: (digits + 1, ...)."""
    places = _places(2 * r, codes)
    found = [row.index_select(0, places).view(r.shape) for row in codes]
    return torch.stack([_loss(r, candidate, weight) for candidate in found])


def digit_values(losses: Tensor) -> Tensor:
    """The price at which each digit is given up: (digits, ...), falling.

    At a price above the k-th, `best_codes` has less than k digits: the slopes of the convex hull of
    the losses.

    Args:
        losses: of `losses_by_digits`.
    """
    values = []
    for end in range(1, len(losses)):
        least: Any = None  # a tensor after the first start
        for start in range(end):
            slope = (losses[start] - losses[end]).div_(end - start)
            for later in range(end + 1, len(losses)):
                other = (losses[start] - losses[later]).div_(later - start)
                slope = torch.maximum(slope, other)
            least = slope if least is None else torch.minimum(least, slope)
        values.append(least)
    return torch.stack(values)


def _loss(r: Tensor, code: Tensor, weight: Tensor) -> Tensor:
    return (r - code).square_().mul_(weight)


def _places(twice: Tensor, codes: Tensor) -> Tensor:
    """Of the nearest codes of half of that, flat."""
    last = codes.shape[1] // 2
    places = twice.abs().ceil_().clamp_(max=last).mul_(twice.sign_()).add_(last)
    return places.nan_to_num_(nan=last).int().flatten()


def steps_of(frac_bits: Tensor) -> tuple[Any, Any]:
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
        held: Tensor | None,
    ) -> Tensor:
        lsb, inverse = steps_of(frac_bits)
        if held is not None:
            places = _places(x * (2 * inverse), codes).add_(held.flatten(), alpha=codes.shape[1])
            y = codes.flatten().index_select(0, places).view(x.shape).mul_(lsb)
        else:
            weight = curvature * (0.5 * lsb * lsb)
            y = best_codes(x * inverse, codes, weight, price).mul_(lsb)
        ctx.save_for_backward(x, y, frac_bits, codes)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, frac_bits, codes = ctx.saved_tensors
        lsb, inverse = steps_of(frac_bits)
        low, high = codes[-1, 0], codes[-1, -1]
        if isinstance(lsb, float):  # one pass; it passes the open interval
            number = np.float32 if x.dtype == torch.float32 else np.float64
            lower = float(np.nextafter(number((low.item() - 0.5) * lsb), number(-np.inf)))
            upper = float(np.nextafter(number((high.item() + 0.5) * lsb), number(np.inf)))
            grad_x = torch.ops.aten.hardtanh_backward(grad, x, lower, upper)
        else:
            r = x * inverse
            grad_x = r.clone().ge_(low - 0.5).mul_(r.le_(high + 0.5)).mul_(grad)
        grad_point = None
        if ctx.needs_input_grad[1]:
            grad_point = binary_point_gradient(grad, grad_x, x, y, frac_bits.shape)
        return grad_x, grad_point, None, None, None, None
