"""The operations again, in exact rationals and plain loops: slow, and written to be read."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import cast_code
from qfx_plugin.ir import Conv, FixedTensor, Linear, Quantize, Weight


def rationals(codes: NDArray[np.int64], frac_bits: NDArray[np.int64]) -> NDArray[np.object_]:
    """`codes * 2**-frac_bits` as fractions; `frac_bits` broadcasts to `codes`."""
    points = np.broadcast_to(frac_bits, codes.shape)
    pairs = zip(codes.reshape(-1), points.reshape(-1), strict=True)
    values = [int(code) * Fraction(2) ** -int(bits) for code, bits in pairs]
    return np.array([*values, None], dtype=object)[:-1].reshape(codes.shape)


def of_tensor(tensor: FixedTensor) -> NDArray[np.object_]:
    """The exact values of a tensor."""
    return rationals(tensor.codes, tensor.frac_bits)


def of_weight(weight: Weight) -> NDArray[np.object_]:
    """The exact values of a weight."""
    shape = (-1, *[1] * (weight.codes.ndim - 1))
    return rationals(weight.codes, weight.frac_bits.reshape(shape))


def linear(op: Linear, x: NDArray[np.object_]) -> NDArray[np.object_]:
    """One multiplication at a time."""
    w = of_weight(op.weight)
    out = np.full((len(x), len(w)), Fraction(0), dtype=object)
    for n, o, i in product(*map(range, (*out.shape, x.shape[1]))):
        out[n, o] += x[n, i] * w[o, i]
    return out if op.bias is None else out + of_weight(op.bias)


def conv2d(op: Conv, x: NDArray[np.object_]) -> NDArray[np.object_]:
    """By the definition, index by index."""
    w, window = of_weight(op.weight), op.window
    (top, _), (left, _) = window.pads
    rows, columns = window.positions(x.shape[2:])
    out = np.full((len(x), len(w), rows, columns), Fraction(0), dtype=object)
    per_group = len(w) // op.groups
    for n, o, r, c, i, u, v in product(*map(range, (*out.shape, *w.shape[1:]))):
        row = r * window.strides[0] + u * window.dilations[0] - top
        column = c * window.strides[1] + v * window.dilations[1] - left
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            out[n, o, r, c] += w[o, i, u, v] * x[n, o // per_group * w.shape[1] + i, row, column]
    if op.bias is None:
        return out
    return out + of_weight(op.bias).reshape(-1, 1, 1)


def quantize(op: Quantize, x: NDArray[np.object_]) -> NDArray[np.object_]:
    """Every element by the scalar reference."""
    out = np.empty(x.shape, dtype=object)
    for index in np.ndindex(*x.shape):
        fmt = op.formats[index[1] if len(op.formats) > 1 else 0]
        code = cast_code(x[index], fmt, op.rounding, op.overflow)
        out[index] = code * Fraction(2) ** -fmt.frac_bits
    return out
