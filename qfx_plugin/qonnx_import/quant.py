"""What a Quant node makes of a constant or of an activation of the intermediate model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.onnx_files import QuantSpec

from .constants import QuantizedConstant


def quantize_constant(spec: QuantSpec, values: NDArray[np.generic], name: str) -> QuantizedConstant:
    """The codes of an initializer behind a Quant node."""
    values = values.reshape(1) if values.ndim == 0 else values
    codes, bits = spec.codes(values, name), spec.broadcast_points(values.shape)
    return QuantizedConstant(codes, bits, spec.width, spec.signed, spec.k, spec.digits, name)


def activation_points(spec: QuantSpec, bits: NDArray[np.int64]) -> int | tuple[int, ...]:
    """Binary points of an activation: one, or one per channel.

    Args:
        spec: the Quant node.
        bits: its binary points, one for each axis of a channels-first tensor, the batch first.
    """
    per_channel = bits.reshape(bits.shape[1], -1)[:, 0]
    if (bits == bits.reshape(-1)[0]).all():
        return int(bits.reshape(-1)[0])
    if per_channel.size != bits.size:
        raise spec.node.refuse(
            f"scale of shape {list(spec.frac_bits.shape)} must differ along the channel axis only"
        )
    return tuple(int(value) for value in per_channel)
