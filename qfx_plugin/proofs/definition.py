"""The operations as Verilog, each from its definition in `docs/ir.md`, element by element.

A third reading of the intermediate model, beside its interpreter and the exact rationals of the
tests: plain sums, products and comparisons of integers, without any of a target's tricks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ir import (
    Add,
    ArgMax,
    Arrangement,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Extreme,
    FixedType,
    Identity,
    Linear,
    Lookup,
    MatMul,
    MaxPool,
    Multiply,
    Op,
    Pool,
    PRelu,
    Quantize,
    Relu,
    SumPool,
    Weight,
    Window,
)
from ..ir.handlers import Handlers
from .circuit import Circuit, Number, constant

Numbers: TypeAlias = NDArray[np.object_]
"""Of `Number`, with the shape of one sample."""

Definition: TypeAlias = Callable[[Circuit, Any, Sequence[Numbers]], Numbers]

defines: Handlers[Definition] = Handlers("the proof", instead="compare it with `qfx verify`")
"""What writes each operation: (circuit, operation, its operands)."""


def define(circuit: Circuit, op: Op, operands: Sequence[Numbers], result: FixedType) -> Numbers:
    """The operation's output, each element on the binary point of its type.

    Args:
        circuit: to be extended.
        op: the operation.
        operands: numbers of its operands.
        result: type of its output.

    Raises:
        TargetError: the operation has no definition here.
    """
    found = defines.of(op)(circuit, op, operands)
    points = np.repeat(result.frac_bits, prod(result.shape) // result.frac_bits.size)
    pairs = zip(found.reshape(-1), points, strict=True)
    return numbers_in([circuit.at(x, int(point)) for x, point in pairs], result.shape)


def numbers_in(numbers: Sequence[Number], shape: tuple[int, ...]) -> Numbers:
    """Numbers in row-major order as an array."""
    array = np.empty(len(numbers), dtype=object)
    array[:] = numbers
    return array.reshape(shape)


def _weights(weight: Weight) -> Numbers:
    points = np.broadcast_to(
        weight.per_output().reshape(-1, *[1] * (weight.codes.ndim - 1)), weight.codes.shape
    )
    pairs = zip(weight.codes.reshape(-1).tolist(), points.reshape(-1).tolist(), strict=True)
    return numbers_in([constant(code, point) for code, point in pairs], weight.codes.shape)


def _each(call: Callable[..., Number], *operands: Numbers) -> Numbers:
    wide = np.broadcast_arrays(*operands)
    rows = zip(*(part.reshape(-1) for part in wide), strict=True)
    return numbers_in([call(*row) for row in rows], wide[0].shape)


def _sum_of_products(circuit: Circuit, pairs: Sequence[tuple[Number, Number]]) -> Number:
    products = [circuit.multiply(a, b) for a, b in pairs if not (a.is_zero or b.is_zero)]
    return circuit.fold(circuit.add, products) if products else constant(0)


def _plus_bias(circuit: Circuit, x: Number, bias: Weight | None, output: int) -> Number:
    return x if bias is None else circuit.add(x, _weights(bias)[output])


@defines(Linear)
def _linear(circuit: Circuit, op: Linear, operands: Sequence[Numbers]) -> Numbers:
    (x,), weights = operands, _weights(op.weight)
    sums = [_sum_of_products(circuit, list(zip(row, x, strict=True))) for row in weights]
    rows = [_plus_bias(circuit, one, op.bias, number) for number, one in enumerate(sums)]
    return numbers_in(rows, (len(rows),))


@defines(Conv)
def _conv(circuit: Circuit, op: Conv, operands: Sequence[Numbers]) -> Numbers:
    (x,), weights = operands, _weights(op.weight)
    shape = (len(weights), *op.window.positions(x.shape[1:]))
    inner, per_group = weights.shape[1], len(weights) // op.groups
    found = []
    for output, *place in np.ndindex(*shape):
        first = output // per_group * inner
        pairs = [
            (weights[(output, channel, *tap)], x[(first + channel, *pixel)])
            for tap, pixel in _taps(op.window, x.shape[1:], place)
            for channel in range(inner)
        ]
        found.append(_plus_bias(circuit, _sum_of_products(circuit, pairs), op.bias, output))
    return numbers_in(found, shape)


def _taps(
    window: Window, sides: tuple[int, ...], place: Sequence[int]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(place in the kernel, pixel) of those that lie in the image."""
    found = []
    for tap in product(*map(range, window.kernel)):
        steps = zip(place, window.strides, tap, window.dilations, window.pads, strict=True)
        pixel = tuple(p * stride + t * gap - pad for p, stride, t, gap, (pad, _) in steps)
        if all(0 <= at < side for at, side in zip(pixel, sides, strict=True)):
            found.append((tap, pixel))
    return found


@defines(MatMul)
def _matmul(circuit: Circuit, op: MatMul, operands: Sequence[Numbers]) -> Numbers:
    left, right = operands
    outer = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (np.broadcast_to(x, (*outer, *x.shape[-2:])) for x in (left, right))
    shape = (*outer, left.shape[-2], right.shape[-1])
    found = []
    for *place, row, column in np.ndindex(*shape):
        a, b = left[(*place, row)], right[(*place, slice(None), column)]
        found.append(_sum_of_products(circuit, list(zip(a, b, strict=True))))
    return numbers_in(found, shape)


@defines(Add)
def _add(circuit: Circuit, op: Add, operands: Sequence[Numbers]) -> Numbers:
    return _each(circuit.add, *operands)


@defines(Multiply)
def _multiply(circuit: Circuit, op: Multiply, operands: Sequence[Numbers]) -> Numbers:
    return _each(circuit.multiply, *operands)


@defines(Extreme)
def _extreme(circuit: Circuit, op: Extreme, operands: Sequence[Numbers]) -> Numbers:
    return _each(circuit.larger if op.largest else circuit.lesser, *operands)


@defines(Relu)
def _relu(circuit: Circuit, op: Relu, operands: Sequence[Numbers]) -> Numbers:
    return _each(lambda x: circuit.larger(x, constant(0, x.point)), *operands)


@defines(PRelu)
def _prelu(circuit: Circuit, op: PRelu, operands: Sequence[Numbers]) -> Numbers:
    def one(x: Number, slope: Number) -> Number:
        positive = circuit.exceeds(x, constant(0, x.point))
        return circuit.choose(positive, x, circuit.multiply(x, slope))

    (x,) = operands
    return _each(one, x, _weights(op.slope).reshape(-1, *[1] * (x.ndim - 1)))


@defines(Clip)
def _clip(circuit: Circuit, op: Clip, operands: Sequence[Numbers]) -> Numbers:
    (x,) = operands
    if op.low is not None:
        bound = constant(op.low, op.frac_bits)
        x = _each(lambda one: circuit.larger(one, bound), x)
    if op.high is not None:
        upper = constant(op.high, op.frac_bits)
        x = _each(lambda one: circuit.lesser(one, upper), x)
    return x


@defines(Quantize)
def _quantize(circuit: Circuit, op: Quantize, operands: Sequence[Numbers]) -> Numbers:
    (x,) = operands
    formats = np.empty(len(op.formats), dtype=object)
    formats[:] = op.formats
    by_channel = formats.reshape(-1, *[1] * max(x.ndim - 1, 0)) if x.ndim else formats.reshape(())
    return _each(lambda one, fmt: circuit.cast(one, fmt, op.rounding, op.overflow), x, by_channel)


@defines(Lookup)
def _lookup(circuit: Circuit, op: Lookup, operands: Sequence[Numbers]) -> Numbers:
    entries, point = op.table.codes.tolist(), int(op.table.frac_bits[0])

    def one(x: Number) -> Number:
        return circuit.pick(circuit.at(x, op.frac_bits), entries, op.low, point)

    return _each(one, *operands)


@defines(ArgMax)
def _argmax(circuit: Circuit, op: ArgMax, operands: Sequence[Numbers]) -> Numbers:
    """The first largest: a later channel only wins if it is larger."""
    (x,) = operands
    shape = (1, *x.shape[1:])
    found = []
    for _, *place in np.ndindex(*shape):
        best, number = x[(0, *place)], constant(0)
        for channel in range(1, len(x)):
            other = x[(channel, *place)]
            wins = circuit.exceeds(other, best)
            best = circuit.larger(best, other)
            number = circuit.choose(wins, constant(channel), number)
        found.append(number)
    return numbers_in(found, shape)


def _pooled(op: Pool, x: Numbers, reduce: Callable[[list[Number]], Number]) -> Numbers:
    shape = (len(x), *op.window.positions(x.shape[1:]))
    return numbers_in(
        [
            reduce([x[(channel, *pixel)] for _, pixel in _taps(op.window, x.shape[1:], place)])
            for channel, *place in np.ndindex(*shape)
        ],
        shape,
    )


@defines(MaxPool)
def _max_pool(circuit: Circuit, op: MaxPool, operands: Sequence[Numbers]) -> Numbers:
    return _pooled(op, operands[0], lambda taps: circuit.fold(circuit.larger, taps))


@defines(SumPool)
def _sum_pool(circuit: Circuit, op: SumPool, operands: Sequence[Numbers]) -> Numbers:
    return _pooled(op, operands[0], lambda taps: circuit.fold(circuit.add, [constant(0), *taps]))


@defines(AveragePool)
def _average_pool(circuit: Circuit, op: AveragePool, operands: Sequence[Numbers]) -> Numbers:
    """The sum; its binary point moves by log2 of the window's area."""
    moved = op.window.area.bit_length() - 1
    sums = _sum_pool(circuit, op, operands)
    return _each(lambda x: Number(x.text, x.low, x.high, x.point + moved), sums)


@defines(Concat)
def _concat(circuit: Circuit, op: Concat, operands: Sequence[Numbers]) -> Numbers:
    return np.concatenate(list(operands), axis=op.axis)


@defines(Identity)
def _identity(circuit: Circuit, op: Identity, operands: Sequence[Numbers]) -> Numbers:
    return operands[0]


@defines(Arrangement)
def _arranged(circuit: Circuit, op: Arrangement, operands: Sequence[Numbers]) -> Numbers:
    seen: Any = op.seen(operands[0], constant(0))
    return seen if isinstance(seen, np.ndarray) else numbers_in([seen], ())


@defines(Constant)
def _constant(circuit: Circuit, op: Constant, operands: Sequence[Numbers]) -> Numbers:
    return _weights(op.weight)
