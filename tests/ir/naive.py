"""The operations again, in exact rationals and plain loops: slow, and written to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brevitas_quantizers.fixed_point import cast_code
from qfx_plugin import ir
from qfx_plugin.ir import (
    Clip,
    Conv,
    FixedTensor,
    Graph,
    Linear,
    Op,
    PRelu,
    Quantize,
    Weight,
    Window,
)

Exact: TypeAlias = NDArray[np.object_]
"""Of `Fraction`; (samples, *shape)."""


def rationals(codes: NDArray[np.int64], frac_bits: NDArray[np.int64]) -> Exact:
    """`codes * 2**-frac_bits` as fractions; `frac_bits` broadcasts to `codes`."""
    points = np.broadcast_to(frac_bits, codes.shape)
    pairs = zip(codes.reshape(-1), points.reshape(-1), strict=True)
    values = [int(code) * Fraction(2) ** -int(bits) for code, bits in pairs]
    return np.array([*values, None], dtype=object)[:-1].reshape(codes.shape)


def of_tensor(tensor: FixedTensor) -> Exact:
    """The exact values of a tensor."""
    return rationals(tensor.codes, tensor.frac_bits)


def of_weight(weight: Weight) -> Exact:
    """The exact values of a weight."""
    return rationals(weight.codes, weight.frac_bits.reshape(-1, *[1] * (weight.codes.ndim - 1)))


def of_floats(x: ArrayLike) -> Exact:
    """The exact values of floats."""
    return np.frompyfunc(Fraction, 1, 1)(np.asarray(x, dtype=np.float64))


def run(graph: Graph, inputs: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, Exact]:
    """Every tensor of a network, by name."""
    if not isinstance(inputs, Mapping):
        inputs = {graph.inputs[0].output: inputs}
    tensors: dict[str, Exact] = {name: of_floats(x) for name, x in inputs.items()}
    for op in graph.ops:
        if not isinstance(op, ir.Input):
            tensors[op.output] = OPERATIONS[type(op)](op, *(tensors[name] for name in op.inputs))
    return tensors


def linear(op: Linear, x: Exact) -> Exact:
    """One multiplication at a time."""
    w = of_weight(op.weight)
    out = np.full((len(x), len(w)), Fraction(0), dtype=object)
    for n, o, i in np.ndindex(*out.shape, x.shape[1]):
        out[n, o] += x[n, i] * w[o, i]
    return out if op.bias is None else out + of_weight(op.bias)


def taps(window: Window, x: Exact) -> Iterator[tuple[Any, list[tuple[Any, Any]]]]:
    """Each place of the result, with the (place in the kernel, pixel) that lie in the image."""
    sides = x.shape[2:]
    for place in np.ndindex(*window.positions(sides)):
        found = []
        for tap in np.ndindex(*window.kernel):
            steps = zip(place, window.strides, tap, window.dilations, window.pads, strict=True)
            pixel = tuple(p * stride + t * gap - pad for p, stride, t, gap, (pad, _) in steps)
            if all(0 <= at < side for at, side in zip(pixel, sides, strict=True)):
                found.append((tap, pixel))
        yield place, found


def conv(op: Conv, x: Exact) -> Exact:
    """By the definition, index by index."""
    w = of_weight(op.weight)
    shape = (len(x), len(w), *op.window.positions(x.shape[2:]))
    out = np.full(shape, Fraction(0), dtype=object)
    per_group = len(w) // op.groups
    for place, found in taps(op.window, x):
        for o, i in np.ndindex(*w.shape[:2]):
            source = x[:, o // per_group * w.shape[1] + i]
            for tap, pixel in found:
                out[:, o, *place] += w[o, i, *tap] * source[:, *pixel]
    if op.bias is not None:
        out += of_weight(op.bias).reshape(-1, *[1] * len(shape[2:]))
    return out


def pool(op: ir.Pool, x: Exact, reduce: Callable[[Exact], Exact]) -> Exact:
    """`reduce` of the pixels in each window, (pixels, samples, channels)."""
    out = np.empty((*x.shape[:2], *op.window.positions(x.shape[2:])), dtype=object)
    for place, found in taps(op.window, x):
        out[:, :, *place] = reduce(np.stack([x[:, :, *pixel] for _, pixel in found]))
    return out


def quantize(op: Quantize, x: Exact) -> Exact:
    """Every element by the scalar reference."""
    out = np.empty(x.shape, dtype=object)
    for index in np.ndindex(*x.shape):
        fmt = op.formats[index[1] if len(op.formats) > 1 else 0]
        code = cast_code(x[index], fmt, op.rounding, op.overflow)
        out[index] = code * Fraction(2) ** -fmt.frac_bits
    return out


def prelu(op: PRelu, x: Exact) -> Exact:
    """Times the channel's slope where not positive."""
    slope = of_weight(op.slope).reshape(-1, *[1] * (x.ndim - 2))
    return np.where(x > 0, x, x * slope)


def clip(op: Clip, x: Exact) -> Exact:
    """Between bounds of which each may be missing."""
    unit = Fraction(2) ** -op.frac_bits
    x = x if op.low is None else np.maximum(x, op.low * unit)
    return x if op.high is None else np.minimum(x, op.high * unit)


def lookup(op: ir.Lookup, x: Exact) -> Exact:
    """The entry whose number is the value's code, counted from the first."""
    entries = of_weight(op.table)
    number = np.frompyfunc(lambda value: int(value * 2**op.frac_bits) - op.low, 1, 1)(x)
    return entries[number.astype(int)]


def matmul(op: ir.MatMul, a: Exact, b: Exact) -> Exact:
    """One multiplication at a time."""
    outer = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.broadcast_to(x, (*outer, *x.shape[-2:])) for x in (a, b))
    out = np.full((*outer, a.shape[-2], b.shape[-1]), Fraction(0), dtype=object)
    for place in np.ndindex(*out.shape):
        for inner in range(a.shape[-1]):
            out[place] += a[*place[:-1], inner] * b[*place[:-2], inner, place[-1]]
    return out


def concat(op: ir.Concat, *parts: Exact) -> Exact:
    """Side by side; a constant once for each sample."""
    samples = max(map(len, parts))
    wide = [np.broadcast_to(part, (samples, *part.shape[1:])) for part in parts]
    return np.concatenate(wide, axis=op.axis + 1)


def placed(x: Exact, sides: list[int], find: Callable[[int, int], int | None]) -> Exact:
    """Each element of the result by the one of `x` that `find(axis, index)` says; None: a zero."""
    out = np.full((len(x), *sides), Fraction(0), dtype=object)
    for place in np.ndindex(*sides):
        source = [find(axis, at) for axis, at in enumerate(place)]
        if None not in source:
            out[:, *place] = x[:, *source]
    return out


def slice_(op: ir.Slice, x: Exact) -> Exact:
    """Index by index, from the start on."""
    return placed(x, list(op.sizes), lambda axis, at: op.starts[axis] + at * op.steps[axis])


def pad(op: ir.Pad, x: Exact) -> Exact:
    """By where an index lies: within, or what its mode says of the outside."""

    def find(axis: int, at: int) -> int | None:
        size, at = x.shape[axis + 1], at - op.pads[axis][0]
        if 0 <= at < size:
            return at
        outside = {
            "constant": None,
            "edge": 0 if at < 0 else size - 1,
            "reflect": -at if at < 0 else 2 * (size - 1) - at,
            "wrap": at % size,
        }
        return outside[op.mode]

    return placed(x, [n + sum(p) for n, p in zip(x.shape[1:], op.pads, strict=True)], find)


def gather(op: ir.Gather, x: Exact) -> Exact:
    """The indices that are listed."""
    sides = list(x.shape[1:])
    sides[op.axis] = len(op.indices)

    def find(axis: int, at: int) -> int | None:
        index = op.indices[at] if axis == op.axis else at
        return None if index < 0 else index

    return placed(x, sides, find)


def upsample(op: ir.Upsample, x: Exact) -> Exact:
    """Each pixel from the one that stands there in the small image."""
    sides = [side * factor for side, factor in zip(x.shape[2:], op.factors, strict=True)]
    out = np.empty((*x.shape[:2], *sides), dtype=object)
    for place in np.ndindex(*sides):
        small = tuple(at // factor for at, factor in zip(place, op.factors, strict=True))
        out[:, :, *place] = x[:, :, *small]
    return out


OPERATIONS: dict[type[Op], Callable[..., Exact]] = {
    ir.Add: lambda op, a, b: a + b,
    ir.ArgMax: lambda op, x: np.argmax(x, axis=1, keepdims=True),
    ir.AveragePool: lambda op, x: pool(op, x, lambda part: part.sum(axis=0) / op.window.area),
    ir.Clip: clip,
    ir.Concat: concat,
    ir.Constant: lambda op: of_weight(op.weight)[np.newaxis],
    ir.Conv: conv,
    ir.Extreme: lambda op, a, b: (np.maximum if op.largest else np.minimum)(a, b),
    ir.Gather: gather,
    ir.Identity: lambda op, x: x,
    ir.Linear: linear,
    ir.Lookup: lookup,
    ir.MatMul: matmul,
    ir.MaxPool: lambda op, x: pool(op, x, lambda part: part.max(axis=0)),
    ir.Multiply: lambda op, a, b: a * b,
    ir.PRelu: prelu,
    ir.Pad: pad,
    ir.Quantize: quantize,
    ir.Relu: lambda op, x: np.maximum(x, Fraction(0)),
    ir.Reshape: lambda op, x: x.reshape(len(x), *op.shape),
    ir.Slice: slice_,
    ir.SumPool: lambda op, x: pool(op, x, lambda part: part.sum(axis=0)),
    ir.Transpose: lambda op, x: x.transpose(0, *(axis + 1 for axis in op.order)),
    ir.Upsample: upsample,
}
"""What each operation computes."""
