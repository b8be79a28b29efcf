"""Layers with weights: the fully connected one, and what it shares with convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exact import big_products, carrier, matmul
from ..types import BigInts, Codes, FixedType, TensorType, Weight
from .base import Op, align, column, operation

_BLOCK = 1 << 20
"""Weights whose ranges are found at once."""


@dataclass(frozen=True)
class Weighted(Op):
    """A layer whose every output is a sum of weight times input, plus a bias.

    Attributes:
        weight: codes, output channels first, with their binary points.
        bias: (output channels,) codes with their own binary points, or None.
    """

    weight: Weight
    bias: Weight | None

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return int(self.weight.codes.shape[0])

    def check_bias(self) -> None:
        """Refuse a bias that has not one code per output channel."""
        if self.bias is not None and self.bias.codes.shape != (self.outputs,):
            shape = list(self.bias.codes.shape)
            raise self.refuse(f"bias must have shape [{self.outputs}], not {shape}")

    def accumulator(
        self, operand: FixedType, matrix: Codes, low: BigInts, high: BigInts, shape: tuple[int, ...]
    ) -> FixedType:
        """Exact range of every output channel, from the weights themselves.

        Args:
            operand: type of the input.
            matrix: (output channels, n) weight codes.
            low: (output channels, n) or (n,) Python ints, inputs at the finest binary point.
            high: like `low`.
            shape: shape of one output sample.
        """
        step = max(1, _BLOCK // max(1, matrix.shape[1]))
        rows = [slice(start, start + step) for start in range(0, len(matrix), step)]
        own = low.ndim == 2
        sums = np.concatenate(
            [_extremes(matrix[r], low[r] if own else low, high[r] if own else high) for r in rows],
            axis=1,
        )
        bits, weight_shift, bias_shift = self._points(operand)
        sums = sums * 2 ** weight_shift.astype(object)
        if self.bias is not None:
            bias = self.bias.codes.astype(object) * 2 ** bias_shift.astype(object)
            sums = sums + np.stack([bias, bias, np.minimum(bias, 0), np.maximum(bias, 0)])
        return FixedType(shape, bits, sums[0], sums[1], int(np.abs(sums[2:]).max()))

    def aligned_weight(self, operand: FixedType) -> Codes:
        """Weight codes in units of the result's LSB divided by the input's finest LSB."""
        _, shift, _ = self._points(operand)
        return np.asarray(
            self.weight.codes << column(np.minimum(shift, 62), self.weight.codes.ndim)
        )

    def carried_weight(self, operand: FixedType, peak: int) -> NDArray[Any]:
        """`aligned_weight` in the type that products up to `peak` are computed in; kept."""
        _, shift, _ = self._points(operand)
        key = (carrier(peak), shift.tobytes())
        if self.__dict__.get("_carried", (None,))[0] != key:
            weight = self.aligned_weight(operand).astype(key[0])
            object.__setattr__(self, "_carried", (key, weight))
        return np.asarray(self.__dict__["_carried"][1])

    def add_bias(self, sums: Codes, operand: FixedType) -> Codes:
        """`sums` plus the bias in units of the result's LSB.

        Args:
            sums: (batch, output channels, ...) int64, changed in place.
            operand: type of the layer's input.
        """
        if self.bias is None:
            return sums
        _, _, shift = self._points(operand)
        sums += column(self.bias.codes << np.minimum(shift, 62), sums.ndim - 1)
        return sums

    def _points(self, operand: FixedType) -> tuple[Codes, Codes, Codes]:
        """Binary points of the result; left shifts of the products and of the bias."""
        products = self.weight.per_output() + operand.frac_bits.max()
        if self.bias is None:
            return products, np.zeros_like(products), np.zeros_like(products)
        bias = self.bias.per_output()
        bits = np.maximum(products, bias)
        return bits, bits - products, bits - bias


def _extremes(matrix: Codes, low: BigInts, high: BigInts) -> BigInts:
    """(4, rows): smallest and largest `matrix @ x`, and bounds of every partial sum of it."""
    largest = np.maximum(np.abs(low), np.abs(high))
    below, above = np.where(low < 0, -largest, 0), np.where(high > 0, largest, 0)
    positive, negative = np.maximum(matrix, 0), np.minimum(matrix, 0)
    first = big_products(positive, (low, high, below, above))
    return np.asarray(first + big_products(negative, (high, low, above, below)))


@operation
class Linear(Weighted):
    """Fully connected layer on (batch, features): `x @ weight.T + bias`."""

    def result(self, *operands: TensorType) -> FixedType:
        """(outputs,) accumulators."""
        operand = self.fixed(operands[0])
        self.check_bias()
        features = self.weight.codes.shape[1]
        if operand.shape != (features,):
            raise self.refuse(f"input must have shape [{features}], not {list(operand.shape)}")
        edges = operand.aligned(operand.frac_bits.max())
        low, high = (np.broadcast_to(edge, (features,)) for edge in edges)
        return self.accumulator(operand, self.weight.codes, low, high, (self.outputs,))

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """One exact matrix product."""
        operand = self.fixed(types[0])
        x = align(operands[0], operand, operand.frac_bits.max(keepdims=True))
        peak = self.fixed(result).peak
        sums = matmul(x, self.carried_weight(operand, peak).T, peak)
        return self.add_bias(sums, operand)
