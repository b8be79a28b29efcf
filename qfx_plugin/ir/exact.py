"""Exact integer matrix products: by floats where proven exact, by int64, or by big integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .types import BigInts, Codes

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
INT64_EXACT = 1 << 63


def matmul(left: Codes, right: Codes, peak: int) -> Codes:
    """`left @ right`, where no partial sum exceeds `peak` in magnitude.

    Every product and every partial sum is an integer below 2**24 or 2**53, so that float32 or
    float64 holds each of them and the order of the additions inside BLAS does not matter.

    Args:
        left: (..., m, k) int64, or floats holding integers.
        right: (..., k, n) int64, or floats holding integers.
        peak: proven bound, below 2**63.
    """
    dtype = carrier(peak)
    product = np.matmul(left.astype(dtype, copy=False), right.astype(dtype, copy=False))
    return np.asarray(product, dtype=np.int64)


def carrier(peak: int) -> type[np.float32] | type[np.float64] | type[np.int64]:
    """The fastest type that holds every partial sum up to `peak` exactly."""
    if peak < FLOAT32_EXACT:
        return np.float32
    return np.float64 if peak < FLOAT64_EXACT else np.int64


def big_products(matrix: Codes, vectors: Sequence[BigInts]) -> BigInts:
    """(vectors, m): products of each row with each vector, in Python integers, whatever their size.

    Args:
        matrix: (m, k) int64.
        vectors: (k,) Python ints; or (m, k), one for each row.
    """
    stacked = np.stack(vectors)
    bound = magnitude(stacked) * max(1, magnitude(matrix)) * max(1, matrix.shape[-1])
    if bound >= INT64_EXACT:
        rows = stacked if stacked.ndim == 3 else stacked[:, np.newaxis]
        return np.asarray((matrix.astype(object) * rows).sum(-1))
    if stacked.ndim == 3:
        return np.asarray(np.einsum("mk,vmk->vm", matrix, stacked.astype(np.int64)).astype(object))
    return matmul(stacked.astype(np.int64), matrix.T, bound).astype(object)


def magnitude(values: NDArray[Any]) -> int:
    """Largest absolute value, as a Python int."""
    return max(abs(int(values.max())), abs(int(values.min()))) if values.size else 0
