"""Initializers that went through a Quant: integer codes that later nodes transpose or use."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.onnx_files import Node

from ..ir import Weight
from ..ir.exact import magnitude

MAX_BITS = 62


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """Codes with binary points of any broadcastable shape, as the file has them.

    Attributes:
        codes: int64.
        frac_bits: int64, same number of dimensions, broadcastable to `codes`.
        width: declared word length.
        signed: declared signedness.
        k: K of a K-hot weight, or None.
        digits: "signed" or "binary".
        name: name of the initializer.
    """

    codes: NDArray[np.int64]
    frac_bits: NDArray[np.int64]
    width: int
    signed: bool
    k: int | None
    digits: str
    name: str

    def transpose(self, order: tuple[int, ...] | None) -> QuantizedConstant:
        """Axes in another order, reversed by default."""
        codes, bits = np.transpose(self.codes, order), np.transpose(self.frac_bits, order)
        return replace(self, codes=codes, frac_bits=bits)

    def reshape(self, shape: tuple[int, ...]) -> QuantizedConstant:
        """Another shape; binary points follow their codes."""
        if self.frac_bits.size == 1:
            bits = self.frac_bits.reshape((1,) * len(shape))
        else:
            bits = np.broadcast_to(self.frac_bits, self.codes.shape).reshape(shape)
        return replace(self, codes=self.codes.reshape(shape), frac_bits=bits)

    def weight(self, node: Node) -> Weight:
        """One binary point per first axis; finer ones inside it are aligned exactly."""
        codes, bits = self.codes, self.frac_bits
        width = self.width
        inner = tuple(range(1, codes.ndim))
        finest = bits.max(axis=inner, keepdims=True)
        if (finest != bits).any():
            shift = np.broadcast_to(finest - bits, codes.shape)
            if magnitude(codes) << int(shift.max()) >= 1 << MAX_BITS:
                raise node.refuse(
                    f"binary points of weight {self.name!r} differ by {shift.max()} bits within "
                    "one output channel, too many to align"
                )
            codes = codes << shift
            width = max(width, magnitude(codes).bit_length() + 1)
        return Weight(codes, finest.reshape(-1), width, self.signed, self.k, self.digits, self.name)
