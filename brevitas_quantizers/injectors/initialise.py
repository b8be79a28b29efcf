"""Where binary points start: from the data, so that training is fixed point from step 0."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .options import BinaryPointInit
from .ranks import all_max, all_sum, of_first_rank

MAX_FRAC_BITS = 64
_FLOAT32_CODES = 1 << 23  # where adding a half, float32 rounds
_BLOCK = 1 << 17  # elements
_OVERFLOW_SHARE = 1e-3
_PERCENTILE_STEPS = 24  # outliers up to 2**24 times the bulk
_MSE_STEPS = (0, 1, 2, 3, -1)  # of equal errors the first wins: keep the whole range if possible


def initial_frac_bits(
    values: Tensor,
    shape: tuple[int, ...],
    max_code: int,
    signed: bool,
    init: BinaryPointInit,
    cast: Callable[[Tensor, Tensor], Tensor],
    across_ranks: bool = False,
) -> Tensor:
    """Fractional bits that suit `values`.

    Args:
        values: data to quantize, any shape.
        shape: shape of the result, broadcastable to `values`: `()`, or with sizes other than 1
            where each channel has its own binary point.
        max_code: largest code of the format.
        signed: whether negative values are representable.
        init: `MAX`: the finest LSB at which the largest magnitude still rounds into the range;
            `MSE`: the least squared error among that one, three finer and one coarser;
            `PERCENTILE`: the finest at which at most one value in a thousand overflows.
        cast: `(values, frac_bits) -> quantized values`, the quantizer's own arithmetic.
        across_ranks: `values` are this rank's share, possibly empty, of the data; every rank has
            to call, and gets the result for all of the data.

    Returns:
        Integer-valued frac bits of `shape`. Channels without any non-zero value get the format
        that covers [-1, 1).
    """
    magnitude = values.abs() if signed else values.clamp(min=0)
    largest = _reduce(magnitude, shape, torch.amax)
    if across_ranks:
        largest = all_max(largest)
    exact = largest.double() if max_code >= _FLOAT32_CODES else largest
    covering = torch.floor(torch.log2((max_code + 0.5) / exact)).to(largest.dtype)
    unit = torch.full_like(largest, float(max_code.bit_length()))
    covering = torch.where(largest > 0, covering, unit).clamp(-MAX_FRAC_BITS, MAX_FRAC_BITS)
    if init is BinaryPointInit.MAX:
        return covering
    if init is BinaryPointInit.PERCENTILE:
        best = _percentile(magnitude, covering, shape, max_code, across_ranks)
    else:
        best = _least_squares(values, covering, shape, cast, across_ranks)
    start = torch.where(largest > 0, best, unit).clamp(-MAX_FRAC_BITS, MAX_FRAC_BITS)
    return of_first_rank(start) if across_ranks else start


def _least_squares(
    values: Tensor,
    covering: Tensor,
    shape: tuple[int, ...],
    cast: Callable[[Tensor, Tensor], Tensor],
    across_ranks: bool,
) -> Tensor:
    candidates = torch.stack([covering + step for step in _MSE_STEPS])
    errors = torch.stack([_squared_error(values, point, cast) for point in candidates])
    if across_ranks:
        errors = all_sum(errors)
    return candidates.gather(0, errors.argmin(0, keepdim=True))[0]


def _squared_error(
    values: Tensor, point: Tensor, cast: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Of each binary point; of a large tensor in blocks, which fit the processor's cache."""
    shape = tuple(point.shape)
    rows = shape[0] if shape and len(shape) == values.ndim and shape[0] == point.numel() else 0
    if values.numel() <= _BLOCK or not (point.numel() == 1 or rows > 1):
        return _reduce((cast(values, point) - values) ** 2, shape, _sum)
    if rows > 1:
        step = max(1, _BLOCK * rows // values.numel())
        pairs = zip(values.split(step), point.split(step), strict=True)
        return torch.cat([_reduce((cast(x, p) - x) ** 2, tuple(p.shape), _sum) for x, p in pairs])
    one = point.reshape(())
    sums = [_sum((cast(x, one) - x) ** 2, (0,), False) for x in values.flatten().split(_BLOCK)]
    return torch.stack(sums).sum().reshape(shape)


def _percentile(
    magnitude: Tensor,
    covering: Tensor,
    shape: tuple[int, ...],
    max_code: int,
    across_ranks: bool,
) -> Tensor:
    """Counts of values beyond the range add up over ranks; percentiles would not."""
    candidates = torch.stack([covering + step for step in range(_PERCENTILE_STEPS)])
    beyond = [
        (magnitude > (max_code + 0.5) * torch.exp2(-point)).to(magnitude.dtype)
        for point in candidates
    ]
    counts = torch.stack([_reduce(mask, shape, _sum) for mask in beyond])
    total = _reduce(torch.ones_like(magnitude), shape, _sum)
    if across_ranks:
        counts, total = all_sum(counts), all_sum(total)
    steps = (counts <= _OVERFLOW_SHARE * total).sum(0) - 1  # counts never fall with the step
    return covering + steps.to(covering.dtype)


def _sum(values: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """In float64, so that the order, and the number of ranks, cannot decide between points."""
    return values.sum(dim, keepdim, dtype=torch.float64)


def _reduce(values: Tensor, shape: tuple[int, ...], reduction: Callable[..., Tensor]) -> Tensor:
    """Reduce `values` to `shape`, over every dimension that `shape` does not have; 0 of nothing."""
    if values.numel() == 0:
        return reduction(values.new_zeros(1), dim=(0,), keepdim=False).expand(shape)
    aligned = (1,) * (values.ndim - len(shape)) + tuple(shape)
    axes = tuple(axis for axis, size in enumerate(aligned) if size == 1)
    if not axes:
        return values.reshape(shape)
    return reduction(values, dim=axes, keepdim=True).reshape(shape)
