"""What a Quant node makes of a constant or of an activation of the intermediate model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import DataError, cast_codes, is_khot
from brevitas_quantizers.onnx_files import Node, QuantSpec

from .constants import QuantizedConstant


def quantize_constant(
    node: Node, spec: QuantSpec, values: NDArray[np.generic], name: str
) -> QuantizedConstant:
    """Cast an initializer with the standard attributes, as any QONNX tool does.

    Files with `qfx_*` attributes hold values that are cast already; there the cast must change
    nothing.
    """
    values = values.reshape(1) if values.ndim == 0 else values
    if values.dtype.kind not in "fiu" or values.size == 0:
        raise node.refuse(f"initializer {name!r} must hold numbers, not {values.dtype}")
    bits = _broadcast(node, spec.frac_bits, values.shape)
    try:
        codes = cast_codes(values, bits, spec.width, spec.signed, spec.executed, spec.saturation)
    except DataError as error:
        raise node.refuse(f"initializer {name!r}: {error}") from None
    if spec.is_marked:
        changed = np.flatnonzero(np.ldexp(codes.astype(np.float64), -bits) != values)
        if changed.size:
            raise node.refuse(
                f"initializer {name!r} must hold values that are cast already (the node has "
                f"qfx_rounding), but {changed.size} of {values.size} are not; the first is "
                f"{values.reshape(-1)[changed[0]]!r}"
            )
    constant = QuantizedConstant(codes, bits, spec.width, spec.signed, spec.k, spec.digits, name)
    if constant.k is not None and not np.all(is_khot(codes, constant.k, constant.digits)):
        raise node.refuse(f"initializer {name!r} is not {constant.k}-hot as qfx_k says")
    return constant


def _broadcast(node: Node, bits: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """`bits` with the number of dimensions of `shape`."""
    padded = bits.reshape((1,) * max(0, len(shape) - bits.ndim) + bits.shape)
    if bits.size == 1:
        return bits.reshape((1,) * len(shape))
    sizes = zip(padded.shape, shape, strict=False)
    if padded.ndim != len(shape) or any(a not in (1, b) for a, b in sizes):
        raise node.refuse(f"scale of shape {list(bits.shape)} does not fit {list(shape)}")
    return padded


def activation_points(
    node: Node, bits: NDArray[np.int64], shape: tuple[int, ...]
) -> int | tuple[int, ...]:
    """Binary points of an activation: one, or one per channel.

    Args:
        node: for messages.
        bits: in the shape of the scale.
        shape: of one sample.
    """
    padded = _broadcast(node, bits, (1, *shape))
    per_channel = padded.reshape(padded.shape[1], -1)[:, 0]
    if bits.size == 1 or (padded == padded.reshape(-1)[0]).all():
        return int(bits.reshape(-1)[0])
    if per_channel.size != padded.size:
        raise node.refuse(
            f"scale of shape {list(bits.shape)} must differ along the channel axis only"
        )
    return tuple(int(value) for value in per_channel)
