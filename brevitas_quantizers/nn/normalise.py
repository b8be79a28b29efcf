"""Scale and offset from batch statistics, with the gradient of batch normalisation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, without gradient.

    Args:
        x: (batch, channels, ...) float.

    Returns:
        Two tensors of (channels,).
    """
    x = x.detach()
    if torch.compiler.is_compiling():
        variance, mean = torch.var_mean(x, [a for a in range(x.ndim) if a != 1], correction=0)
        return mean, variance
    return torch.batch_norm_update_stats(x, None, None, 0.0)


def normalise(x: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
    """`x * scale + offset`, where both come from the statistics of `x` itself.

    The gradient of `x` is that of a batch norm whose result is `scale * (x - mean) + ...`: it
    includes the way through mean and variance, so that it is orthogonal to `1` and to `x - mean`
    in each channel whatever the cast made of the scale. The gradient of `scale` has the mean
    removed: the offset must be computed from a detached scale.

    Args:
        x: (batch, channels, ...) float.
        scale: (channels,), quantized.
        offset: (channels,), quantized.
        mean: (channels,) of `x`.
        inverse: (channels,), 1 over the standard deviation of `x`, epsilon included.
    """
    return _Normalise.apply(x, scale, offset, mean, inverse)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, inverse: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, scale, mean, inverse)
        shape = (1, -1, *[1] * (x.ndim - 2))
        return torch.mul(x, scale.view(shape)).add_(offset.view(shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, mean, inverse = ctx.saved_tensors
        grad_x, grad_hat, grad_offset = torch.ops.aten.native_batch_norm_backward(
            grad, x, scale / inverse, None, None, mean, inverse, True, 0.0, [True, True, True]
        )
        return grad_x, grad_hat / inverse, grad_offset, None, None
