"""Sums, products, extremes, reductions, norms as the modules that compute the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import fx, nn

from brevitas_quantizers.nn.numbers import Reduce, ScaleBy, ShiftBy

from .kinds import Add, Argmax, Compare, Gate, MatMul, Mul, Sub, Unary

Form: TypeAlias = tuple[nn.Module, tuple[fx.Node, ...]]


class NoFixedPointFormError(Exception):
    """Why a call has no fixed-point form."""


def constants(**options: Any) -> None:
    """Refuse options that forward computes."""
    for name, value in options.items():
        values = value if isinstance(value, (tuple, list)) else (value,)
        if any(isinstance(item, fx.Node) for item in values):
            raise NoFixedPointFormError(f"its {name} must be a constant, not computed in forward")


def extreme(kind: type[nn.Module]) -> Callable[..., Form]:
    """Builder of the larger or lesser of two tensors."""

    def build(input: Any, other: Any) -> Form:
        return kind(), (input, other)

    return build


def compare(below: bool, equal: bool) -> Callable[..., Form]:
    """Builder of a comparison: with a number, or of two tensors by their exact difference."""

    def build(input: Any, other: Any) -> Form:
        if is_number(other):
            limit = _number(other, "what is compared with")
            return Compare(limit, below, equal), (input,)
        return nn.Sequential(Sub(), Compare(0.0, below, equal)), (input, other)

    return build


def gate(x: Any, mask: Any) -> Form:
    """`x` where a comparison holds, else zero."""
    return Gate(), (x, mask)


def argmax(least: bool) -> Callable[..., Form]:
    """Builder of the place of the largest or least."""

    def build(input: Any, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Form:
        dim = dim if axis is None else axis
        constants(dim=dim, keepdim=keepdim)
        if dim in (None, 0) or not isinstance(dim, int):
            raise NoFixedPointFormError(
                f"dim must be a dimension of a sample, not the batch, and not {dim!r}"
            )
        return Argmax(dim, keepdim, least), (input,)

    return build


def ordered(*args: Any, **kwargs: Any) -> Form:
    """Refuse what sorts."""
    raise NoFixedPointFormError(
        "leaves open which of equal values comes first: return what it ranks, and call it on the "
        "host, on the values that come out (behind a softmax, with drop_tail=True), or use argmax, "
        "amax or topk(1), which are exact"
    )


def is_number(value: Any) -> bool:
    """Whether `value` is a Python number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise NoFixedPointFormError(f"{what} must be a finite number, not {value!r}")
    return float(value)


def _shifted(x: Any, offset: float) -> Form:
    return ShiftBy(_number(offset, "what is added")), (x,)


def _scaled(x: Any, factor: float) -> Form:
    return ScaleBy(_number(factor, "what is multiplied by")), (x,)


def add(input: Any, other: Any, *, alpha: Any = 1) -> Form:
    """`input + alpha * other`."""
    constants(alpha=alpha)
    if is_number(other):
        return _shifted(input, alpha * other)
    if alpha not in (1, -1):
        raise NoFixedPointFormError(f"alpha must be 1 or -1, not {alpha!r}: multiply first")
    if is_number(input) and alpha == 1:
        return _shifted(other, input)
    if is_number(input):
        return nn.Sequential(ScaleBy(alpha), ShiftBy(_number(input, "what is added"))), (other,)
    return (Add() if alpha == 1 else Sub()), (input, other)


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Form:
    """`input - alpha * other`."""
    constants(alpha=alpha)
    return add(input, other, alpha=-alpha)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Form:
    """`other - alpha * input`."""
    return sub(other, input, alpha=alpha)


def neg(input: Any) -> Form:
    """`-input`."""
    return _scaled(input, -1)


def mul(input: Any, other: Any) -> Form:
    """`input * other`."""
    if is_number(other):
        return _scaled(input, other)
    return _scaled(other, input) if is_number(input) else (Mul(), (input, other))


def matmul(input: Any, other: Any) -> Form:
    """`input @ other`."""
    return MatMul(), (input, other)


def div(input: Any, other: Any, *, rounding_mode: Any = None) -> Form:
    """`input / other`."""
    if rounding_mode is not None:
        raise NoFixedPointFormError(f"rounding_mode must be None, not {rounding_mode!r}")
    if is_number(other):
        if other == 0:
            raise NoFixedPointFormError("divides by zero")
        return _scaled(input, 1 / other)
    if is_number(input):
        steps = [Unary("reciprocal"), ScaleBy(_number(input, "what is divided"))]
        return nn.Sequential(*steps[: 1 if input == 1 else 2]), (other,)
    raise NoFixedPointFormError(
        "divides two tensors: multiply by a table of the divisor's reciprocal, "
        "torch.reciprocal(divisor)"
    )


def reduce(kind: str) -> Callable[..., Form]:
    """Builder of a sum, mean or extreme over dimensions."""

    def build(
        input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None
    ) -> Form:
        dim = dim if axis is None else axis
        constants(dim=dim, keepdim=keepdim)
        dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
        if None in dims or 0 in dims or not dims:
            raise NoFixedPointFormError(
                f"dim must be dimensions of a sample, not the batch, and not {dim!r}"
            )
        if dtype is not None:
            raise NoFixedPointFormError(f"dtype must be None, not {dtype}")
        if kind == "mean" and sorted(dims) in ([2, 3], [-2, -1]):
            pool = nn.AdaptiveAvgPool2d(1)
            return (pool if keepdim else nn.Sequential(pool, nn.Flatten(1))), (input,)
        return Reduce(kind, dims, keepdim), (input,)

    return build


def softmax(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Form:
    """`softmax(input, dim)`."""
    if dtype not in (None, torch.float32):
        raise NoFixedPointFormError(f"dtype must be None, not {dtype}")
    return nn.Softmax(dim), (input,)


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Form:
    """Without a weight; see `parametric` for one with it."""
    return nn.LayerNorm(normalized_shape, eps, elementwise_affine=False), (input,)


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Form:
    """Without a weight, likewise."""
    return nn.RMSNorm(normalized_shape, eps, elementwise_affine=False), (input,)
