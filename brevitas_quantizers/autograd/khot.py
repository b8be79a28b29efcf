"""Projection to K-hot codes (sums of at most K signed powers of two), differentiable.

The projection is to the **nearest** K-hot code inside the format, ties toward zero, by a table of
all such codes (`fixed_point.khot_codes`); the gradients are those of `autograd.cast` with the
projected code in place of the rounded one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from .cast import binary_point_gradient
from .modes import exact_exp2


def khot_cast(x: Tensor, frac_bits: Tensor, codes: Tensor) -> Tensor:
    """Project `x` to the nearest value whose code is in `codes`.

    Args:
        x: any shape, float32 or float64.
        frac_bits: latent of the binary point in bits, broadcastable to `x`; its nearest integer
            is used.
        codes: (codes,) the K-hot codes, ascending, of `x`'s dtype.

    Returns:
        Values `code * 2**-frac_bits`, shape and dtype of `x`.
    """
    return _KHotCast.apply(x, frac_bits, codes)


class _KHotCast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, frac_bits: Tensor, codes: Tensor) -> Tensor:
        point = torch.round(frac_bits)
        y = nearest_code(x * exact_exp2(point), codes) * exact_exp2(-point)
        ctx.save_for_backward(x, y, point, codes)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, point, codes = ctx.saved_tensors
        r = x * exact_exp2(point)
        grad_x = grad * ((r >= codes[0] - 0.5) & (r <= codes[-1] + 0.5))
        grad_point = None
        if ctx.needs_input_grad[1]:
            grad_point = binary_point_gradient(grad, grad_x, x, y, point.shape)
        return grad_x, grad_point, None


def nearest_code(r: Tensor, codes: Tensor) -> Tensor:
    """The member of `codes` nearest to each `r`, ties toward zero.

    Args:
        r: any shape, values in LSB units.
        codes: (codes,) ascending, of `r`'s dtype.
    """
    midpoints = (codes[:-1] + codes[1:]) * 0.5
    lower = torch.bucketize(r, midpoints)  # a tie belongs to the lower code ...
    at_tie = r == midpoints[lower.clamp(max=midpoints.numel() - 1)]
    return codes[lower + (at_tie & (r < 0)).to(lower.dtype)]  # ... unless that leads from zero
