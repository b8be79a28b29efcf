"""Layers with several operands: sum, difference, products, extremes, concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from .base import QuantLayer, QuantType, in_files


class _QuantJoin(QuantLayer, nn.Module):
    """A layer without constants; full precision, unless its output is quantized.

    Args:
        quant: the same as `output_quant`.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        options: of the output slot: `output_bit_width=6`, ...
    """

    def __init__(
        self,
        quant: QuantType = None,
        output_quant: QuantType = None,
        return_quant_tensor: bool = False,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)
        self.fill_slots(quant, options, return_quant_tensor, output_quant=output_quant)


@in_files()
class QuantAdd(_QuantJoin):
    """Sum of two tensors; different binary points are aligned exactly.

    `QuantAdd(quant=QFXFixedPoint, output_bit_width=8)` casts the sum; without a quantizer the
    full-precision sum is returned.
    """

    def forward(
        self, left: Tensor | QuantTensor, right: Tensor | QuantTensor
    ) -> Tensor | QuantTensor:
        """`left + right`, shapes that broadcast."""
        return self.deliver(self.receive(left) + self.receive(right))


@in_files()
class QuantSub(_QuantJoin):
    """Difference of two tensors, exact before the output quantizer; see `QuantAdd`."""

    def forward(
        self, left: Tensor | QuantTensor, right: Tensor | QuantTensor
    ) -> Tensor | QuantTensor:
        """`left - right`, shapes that broadcast."""
        return self.deliver(self.receive(left) - self.receive(right))


@in_files()
class QuantMul(_QuantJoin):
    """Element-wise product of two tensors, exact before the output quantizer."""

    def forward(
        self, left: Tensor | QuantTensor, right: Tensor | QuantTensor
    ) -> Tensor | QuantTensor:
        """`left * right`, shapes that broadcast."""
        return self.deliver(self.receive(left) * self.receive(right))


@in_files()
class QuantMatMul(_QuantJoin):
    """Product of the matrices on the last two axes, exact before the output quantizer."""

    def forward(
        self, left: Tensor | QuantTensor, right: Tensor | QuantTensor
    ) -> Tensor | QuantTensor:
        """`left @ right`: (batch, ..., n, k) and (batch, ..., k, m)."""
        return self.deliver(torch.matmul(self.receive(left), self.receive(right)))


@in_files()
class QuantMaximum(_QuantJoin):
    """The larger of two tensors; different binary points are aligned exactly."""

    def forward(
        self, left: Tensor | QuantTensor, right: Tensor | QuantTensor
    ) -> Tensor | QuantTensor:
        """`torch.maximum(left, right)`, shapes that broadcast."""
        return self.deliver(torch.maximum(self.receive(left), self.receive(right)))


@in_files()
class QuantMinimum(_QuantJoin):
    """The lesser of two tensors; different binary points are aligned exactly."""

    def forward(
        self, left: Tensor | QuantTensor, right: Tensor | QuantTensor
    ) -> Tensor | QuantTensor:
        """`torch.minimum(left, right)`, shapes that broadcast."""
        return self.deliver(torch.minimum(self.receive(left), self.receive(right)))


@in_files()
class QuantCat(_QuantJoin):
    """Concatenation; every operand keeps its binary point, unless the output is quantized.

    Args:
        dim: axis; the export takes channels, 1.
        quant: the same as `output_quant`.
        output_quant: quantizer of the result.
        return_quant_tensor: return a Brevitas `QuantTensor`; needs `output_quant`.
        options: of the output slot: `output_bit_width=6`, ...
    """

    def __init__(self, dim: int = 1, quant: QuantType = None, **keywords: Any) -> None:
        super().__init__(quant, **keywords)
        self.dim = dim

    def forward(self, tensors: Sequence[Tensor | QuantTensor]) -> Tensor | QuantTensor:
        """`torch.cat(tensors, dim)`."""
        return self.deliver(torch.cat([self.receive(tensor) for tensor in tensors], self.dim))

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
