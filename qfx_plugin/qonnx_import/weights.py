"""Weights of the intermediate model, of constants that went through a Quant."""

from __future__ import annotations

import numpy as np

from brevitas_quantizers.onnx_files import Node, QuantizedConstant

from ..ir import Weight
from ..ir.exact import magnitude

MAX_BITS = 62


def weight_of(constant: QuantizedConstant, node: Node) -> Weight:
    """One binary point per first axis; finer ones inside it are aligned exactly."""
    spec, codes, bits = constant.spec, constant.codes, constant.frac_bits
    width = spec.width
    inner = tuple(range(1, codes.ndim))
    finest = bits.max(axis=inner, keepdims=True)
    if (finest != bits).any():
        shift = np.broadcast_to(finest - bits, codes.shape)
        if magnitude(codes) << int(shift.max()) >= 1 << MAX_BITS:
            raise node.refuse(
                f"binary points of weight {constant.name!r} differ by {shift.max()} bits within "
                "one output channel, too many to align"
            )
        codes = codes << shift
        width = max(width, magnitude(codes).bit_length() + 1)
    points = finest.reshape(-1)
    return Weight(codes, points, width, spec.signed, spec.k, spec.digits, constant.name)
