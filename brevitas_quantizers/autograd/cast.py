"""The fixed-point cast with a learned binary point, differentiable.

Forward: `cast(x) = overflow(round(x * 2**F), W) * 2**-F` with `F` the nearest integer of a float
latent (QFX, arXiv 2401.17544). Backward: straight-through in `x`; in `F` the closed form of TQT
(arXiv 1903.08066) and LSQ (arXiv 1902.08153) in the log domain, up to the parameter's sign.
With `r = x * 2**F` and the code `q`::

    dy/dx = 1 in range, 0 where saturated, 1 everywhere for wrapping modes
    dy/dF = ln2 * 2**-F * (r - q) in range and for wrapping modes
          = ln2 * 2**-F * (0 - q) where saturated at code q
    dy/dW = +-ln2 * 2**(W - s) * 2**-F where saturated at the top / bottom (s = 1 if signed)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode

from .modes import (
    Bound,
    RangeLimits,
    cast_codes_,
    check_float_holds_codes,
    code_bounds,
    exact_exp2,
    is_wrapping,
    range_limits,
)

LN2 = math.log(2.0)


def fixed_point_cast(
    x: Tensor,
    frac_bits: Tensor,
    width: int | Tensor,
    signed: bool = True,
    rounding: RoundingMode | str = RoundingMode.AP_RND_CONV,
    overflow: OverflowMode | str = OverflowMode.AP_SAT,
    relu: bool = False,
    learns_from_rounding: bool = True,
) -> Tensor:
    """Cast `x` to `width`-bit fixed point, with gradients for `x`, the binary point and the width.

    Args:
        x: any shape, float32 or float64.
        frac_bits: latent of the binary point in bits, of `x`'s dtype, broadcastable to `x`; its
            nearest integer is used.
        width: word length in bits, at least 2: an integer, or a latent, 0-dimensional or
            broadcastable to `x`, that receives a gradient from saturated values.
        signed: two's complement if true.
        rounding: mode, or its `ap_fixed` name.
        overflow: mode, or its `ap_fixed` name.
        relu: cast `relu(x)`. A saturating unsigned cast needs no pass of its own for that.
        learns_from_rounding: whether rounding errors in range count in the binary point's gradient,
            or saturated values alone (plain straight-through estimator).

    Returns:
        Values of the format, shape and dtype of `x`.

    Raises:
        FormatError: the dtype's mantissa cannot hold the codes.
        ModeError: an unknown mode.
    """
    if isinstance(width, int):
        check_float_holds_codes(x.dtype, width, signed)
    rounding, overflow = RoundingMode.parse(rounding), OverflowMode.parse(overflow)
    if relu and (signed or is_wrapping(signed, overflow)):
        x, relu = torch.relu(x), False
    return _FixedPointCast.apply(
        x, frac_bits, width, signed, rounding, overflow, relu, learns_from_rounding
    )


def sum_to_shape(gradient: Tensor, shape: torch.Size) -> Tensor:
    """Sum a gradient over the dimensions that broadcasting added or stretched."""
    return gradient.sum() if len(shape) == 0 else gradient.sum_to_size(shape)


class _FixedPointCast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        frac_bits: Tensor,
        width: int | Tensor,
        signed: bool,
        rounding: RoundingMode,
        overflow: OverflowMode,
        relu: bool,
        learns_from_rounding: bool,
    ) -> Tensor:
        point = torch.round(frac_bits)
        bits: Bound = torch.round(width) if isinstance(width, Tensor) else width
        ctx.modes = (signed, rounding, overflow)
        y = _cast(x, point, bits, ctx.modes)
        # Behind a ReLU stands a layer with weights, which keeps `y` in any case. Elsewhere (a
        # shortcut) it would be kept for the backward pass alone: there it is computed again.
        kept = y if relu else None
        # The rounded point, and not the latent: that may move before the backward pass.
        saved: tuple[Any, ...] = (x, point, bits if isinstance(bits, Tensor) else None, kept)
        ctx.save_for_backward(*saved)
        ctx.width = None if isinstance(bits, Tensor) else bits
        ctx.relu, ctx.learns_from_rounding = relu, learns_from_rounding
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, point, learned_width, y = ctx.saved_tensors
        bits = ctx.width if learned_width is None else learned_width
        signed, rounding, overflow = ctx.modes
        lo, hi = code_bounds(bits, signed, overflow)
        limits = range_limits(lo, hi, signed, rounding, overflow)
        if ctx.relu and limits is not None:
            limits = replace(limits, lower=0, lower_closed=False)
        grad_x = grad if limits is None else _pass_inside(grad, x, point, limits)
        grad_point = grad_width = None
        if ctx.needs_input_grad[1]:
            y = _cast(x, point, bits, ctx.modes) if y is None else y
            if ctx.learns_from_rounding:
                grad_point = binary_point_gradient(grad, grad_x, x, y, point.shape)
            else:
                grad_point = LN2 * sum_to_shape((grad_x - grad) * y, point.shape)
        if ctx.needs_input_grad[2]:
            stopped = (grad - grad_x) * exact_exp2(-point)
            r = x * exact_exp2(point)
            grad_width = _width_gradient(stopped, r, lo, hi, signed, overflow, learned_width.shape)
        return grad_x, grad_point, grad_width, None, None, None, None, None


def _cast(
    x: Tensor, point: Tensor, width: Bound, modes: tuple[bool, RoundingMode, OverflowMode]
) -> Tensor:
    signed, rounding, overflow = modes
    lo, hi = code_bounds(width, signed, overflow)
    r = x * exact_exp2(point)
    if rounding is RoundingMode.AP_TRN or overflow is OverflowMode.AP_WRAP_SM:
        r = _with_sign_of(r, x, point)
    codes = cast_codes_(r, rounding, lo, hi, signed, overflow)
    lsb = exact_exp2(-point)
    if torch.compiler.is_compiling():
        # Fused in any case. A result that was changed in place gets zero gradients from the
        # compiler of PyTorch 2.11, without a word.
        return codes * lsb
    return codes.mul_(lsb)


def _with_sign_of(r: Tensor, x: Tensor, point: Tensor) -> Tensor:
    """`r = x * 2**point`; negative also where the product underflowed: it is rounded down."""
    is_number = point.ndim == 0 and x.device.type == "cpu" and not torch.compiler.is_compiling()
    if is_number and point.item() >= 0:  # nothing underflows
        return r
    return r.masked_fill((r == 0) & (x < 0), -0.25)


def binary_point_gradient(
    grad: Tensor, grad_x: Tensor, x: Tensor, y: Tensor, shape: torch.Size
) -> Tensor:
    """`LN2 * sum(grad * (x - y))` in range, `LN2 * sum(grad * -y)` where saturated.

    Args:
        grad: gradient of `y`.
        grad_x: `grad` in range, zero where saturated.
        x: input of the cast.
        y: its result.
        shape: shape of the binary points.
    """
    error = x - y
    tensors = (grad, grad_x, y, error)
    if len(shape) == 0 and not torch.compiler.is_compiling() and _lie_alike(tensors):
        # Two dot products: nothing but `error` is written to memory.
        grad, grad_x, y, flat_error = (tensor.view(-1) for tensor in tensors)
        inside = torch.dot(grad_x, flat_error)
        return LN2 * (inside - torch.dot(torch.sub(grad, grad_x, out=flat_error), y))
    return LN2 * sum_to_shape(grad_x * error - (grad - grad_x) * y, shape)


def _lie_alike(tensors: tuple[Tensor, ...]) -> bool:
    """Whether flat views exist and pair the same elements."""
    return all(tensor.is_contiguous() for tensor in tensors)


def _pass_inside(grad: Tensor, x: Tensor, point: Tensor, limits: RangeLimits) -> Tensor:
    """`grad` where `x` is in range, zero elsewhere; one fused kernel where the limits are numbers.

    `hardtanh_backward` passes the open interval; a closed end moves out by one ULP. Reading the
    binary point as a number would stall an accelerator's queue, so this is for CPUs.
    """
    is_number = point.ndim == 0 and isinstance(limits.lower, (int, float))
    if not is_number or x.device.type != "cpu" or torch.compiler.is_compiling():
        step = exact_exp2(-point)  # limits in units of `x`, which cannot underflow as `r` can
        limits = replace(limits, lower=limits.lower * step, upper=limits.upper * step)
        return grad * limits.contains(x)
    lsb = 2.0 ** -float(point)
    number = np.float32 if x.dtype == torch.float32 else np.float64
    lower, upper = number(limits.lower * lsb), number(limits.upper * lsb)
    if limits.lower_closed:
        lower = np.nextafter(lower, number(-np.inf))
    if limits.upper_closed:
        upper = np.nextafter(upper, number(np.inf))
    return torch.ops.aten.hardtanh_backward(grad, x, float(lower), float(upper))


def _width_gradient(
    stopped: Tensor,
    r: Tensor,
    lo: Bound,
    hi: Bound,
    signed: bool,
    overflow: OverflowMode,
    shape: torch.Size,
) -> Tensor:
    """A wider word moves the bounds outward; only values that stop at a bound feel it."""
    if overflow is OverflowMode.AP_SAT_ZERO:
        return torch.zeros(shape, dtype=r.dtype, device=r.device)
    zero = torch.zeros_like(stopped)
    top = sum_to_shape(torch.where(r > hi, stopped, zero), shape)
    bottom = sum_to_shape(torch.where(r < lo, stopped, zero), shape)
    return LN2 * (hi + 1) * (top - bottom * int(signed))
