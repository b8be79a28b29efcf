"""Streams that meet, and elements that move: sums, products, Concat, and what picks elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from ...errors import TargetError
from ...ir import (
    Add,
    Arrangement,
    Concat,
    Constant,
    Extreme,
    FixedType,
    Multiply,
    Op,
    Reshape,
    View,
)
from . import layers
from .casts import StreamedTensor
from .lower import handles
from .orders import moved
from .plan import HARDWARE, datatype


@handles(Arrangement)
def lower_arrangement(state: Any, op: Arrangement) -> None:
    """Nothing to compute: the stream of a view stays as it is, and means another tensor."""
    (name,) = op.inputs
    if name in state.floats:
        if not isinstance(op, Reshape):
            raise TargetError(
                f"{op.label}: moves elements of an input in front of its Quant: put the Quant "
                "first, or give it one binary point and no other reader beside it"
            )
        state.floats[op.output] = state.floats[name]
        return
    source = state.fixed(name)
    points = source.frac_bits.max() if op.mixes_points(source) else None
    whole = None if points is None else np.full(source.shape[0], points)
    value, kind = state.settled(name, whole), state.fixed(op.output)
    if isinstance(op, View):
        order = moved(op, value.kind.shape, value.order)
        state.values[op.output] = StreamedTensor(value.tensor, kind, order)
    else:
        places = op.source(source.shape)
        state.values[op.output] = state.gather(op, value, places, kind, op.output)


# Sums and products.


@handles(Add, Extreme, Multiply)
def lower_binary(state: Any, op: Add | Extreme | Multiply) -> None:
    """Of a constant per channel, of one per element, or of two streams."""
    found = state.graph.constant_operand(op)
    if found is None:
        _meet(state, op)
        return
    source, constant = found
    shape, codes = state.fixed(op.output).shape, constant.weight.codes
    if shape == state.fixed(source).shape and prod(codes.shape[1:]) == 1:
        state.values[op.output] = state.extended(op)
        return
    if isinstance(op, Extreme):
        raise TargetError(
            f"{op.label}: the FINN target compares with one constant, or one per channel: use "
            "target 'hls4ml' or 'rtl'"
        )
    kind, value, shift = state.fixed(op.output).channels(), _repeated(state, op, source), 0
    if isinstance(op, Add):
        value, shift = _at_points(state, op, value, kind.frac_bits)
        codes = _aligned(state, constant, kind.frac_bits)
    codes = np.broadcast_to(codes, shape)
    state.values[op.output] = _with_known(state, op, value, codes, kind, type(op), shift)


def _meet(state: Any, op: Add | Extreme | Multiply) -> None:
    """Two streams, element by element."""
    kind = state.fixed(op.output).channels()
    sides, shifts = [], []
    for name in op.inputs:
        value, shift = _repeated(state, op, name), 0
        if not isinstance(op, Multiply):
            value, shift = _at_points(state, op, value, kind.frac_bits)
        sides.append(value)
        shifts.append(shift)
    if not np.array_equal(sides[0].elements, sides[1].elements):
        sides = [state.image(op, side) for side in sides]
    first, second = sides
    second = state.shaped(op, second, first.tensor.shape, first.order)
    tensor = state.ranged(op.output, first.tensor.shape, kind)
    state.plan.add(
        "QFXMultiply" if isinstance(op, Multiply) else "QFXAdd",
        (first.tensor.name, second.tensor.name),
        tensor,
        node=op.name,
        domain=HARDWARE,
        shifts=shifts,
        **_function(op),
        rhsDataType=second.tensor.datatype,
        **layers.hardware(first.tensor, tensor),
    )
    state.values[op.output] = StreamedTensor(tensor, kind, first.order)


def _function(op: Op) -> dict[str, str]:
    """What a `QFXAdd` computes, where it is no sum."""
    if isinstance(op, Extreme):
        return {"Function": "Maximum" if op.largest else "Minimum"}
    return {}


def _with_known(
    state: Any, op: Op, value: StreamedTensor, codes: NDArray[np.int64], kind: FixedType,
    function: type[Op], shift: int,
) -> StreamedTensor:  # fmt: skip
    """A stream plus, or times, a constant of each element: (*shape) codes from a memory."""
    tensor = state.ranged(op.output, value.tensor.shape, kind)
    state.plan.add(
        "QFXKnown", (value.tensor.name,), tensor, node=op.name, domain=HARDWARE,
        known=numpy_helper.from_array(codes.reshape(-1)[value.elements], "known"),
        knownDataType=datatype(int(codes.min()), int(codes.max())), shifts=[shift, 0],
        Function=function.__name__, **layers.hardware(value.tensor, tensor),
    )  # fmt: skip
    return StreamedTensor(tensor, kind, value.order)


def _at_points(
    state: Any, op: Op, value: StreamedTensor, points: NDArray[np.int64]
) -> tuple[StreamedTensor, int]:
    """An operand, and the one shift that brings all its channels to these binary points."""
    lack = points - value.points
    if len(set(lack.tolist())) == 1:
        return value, int(lack[0])
    return state.requant(op, value, state.fresh(f"{op.output}:aligned"), points), 0


def _aligned(state: Any, constant: Constant, points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes of a constant at these binary points."""
    codes = constant.weight.codes
    lack = np.minimum(points - state.fixed(constant.output).frac_bits, 62)
    shifted: NDArray[np.int64] = codes << lack.reshape(-1, *[1] * (codes.ndim - 1))
    return shifted


def _repeated(state: Any, op: Op, name: str) -> StreamedTensor:
    """An operand, repeated where it is smaller than the result."""
    value, shape, own = state.settled(name), state.fixed(op.output).shape, state.fixed(name).shape
    if own == shape:
        return value  # type: ignore[no-any-return]
    places = np.broadcast_to(np.arange(prod(own)).reshape(own), shape)
    found = value.kind.channels()
    bits, low, high = (
        np.broadcast_to(part, shape[:1]) for part in (found.frac_bits, found.low, found.high)
    )
    kind = FixedType(shape, bits, low, high)
    return state.gather(op, value, places, kind, state.fresh(f"{op.output}:{name}"))  # type: ignore[no-any-return]


# Concat.


@handles(Concat)
def lower_concat(state: Any, op: Concat) -> None:
    """The tensors one after the other; constants are added where zeros have made room for them."""
    producers = [state.graph.producer(name) for name in op.inputs]
    tensors = [one.output for one in producers if not isinstance(one, Constant)]
    kind = state.fixed(op.output)
    if len(tensors) == len(producers):
        state.values[op.output] = _one_by_one(state, op, tensors, kind, op.output)
        return
    kind = kind.channels()
    value = state.settled(tensors[0])
    if len(tensors) > 1:
        inner = replace(op, inputs=tuple(tensors))
        shown = inner.result(*(state.fixed(name) for name in tensors))
        value = _one_by_one(state, op, tensors, shown, state.fresh(f"{op.output}:tensors"))
    if op.axis and not np.array_equal(value.points, kind.frac_bits):
        value = state.requant(op, value, state.fresh(f"{op.output}:aligned"), kind.frac_bits)
    places = np.arange(prod(value.kind.shape)).reshape(value.kind.shape)
    ends = np.cumsum([state.fixed(name).shape[op.axis] for name in tensors])[:-1]
    parts = iter(np.split(places, ends, axis=op.axis))
    rooms, codes = [], []
    for one in producers:
        is_known = isinstance(one, Constant)
        own = state.fixed(one.output).shape
        rooms.append(np.full(own, -1) if is_known else next(parts))
        points = kind.frac_bits if op.axis else state.fixed(one.output).frac_bits
        codes.append(_aligned(state, one, points) if is_known else np.zeros(own, dtype=np.int64))
    room = np.concatenate(rooms, axis=op.axis)
    value = state.gather(op, value, room, kind, state.fresh(f"{op.output}:room"))
    known = np.concatenate(codes, axis=op.axis)
    state.values[op.output] = _with_known(state, op, value, known, kind, Add, 0)


def _one_by_one(
    state: Any, op: Concat, names: Sequence[str], kind: FixedType, output: str
) -> StreamedTensor:
    """Channels of each, or all elements of its row or image as channels."""
    points = np.broadcast_to(kind.frac_bits, kind.shape[:1]) if op.axis else None
    values = [state.settled(name, points) for name in names]
    if len(kind.shape) == 1:
        sides = [state.flat(op, value) for value in values]
        starts = np.cumsum([0, *(side.order.size for side in sides)])[:-1]
        pairs = zip(sides, starts, strict=True)
        order = np.concatenate([side.order + start for side, start in pairs])
        shape: tuple[int, ...] = kind.shape
    else:
        sides, order = [state.image(op, value) for value in values], None
        shape = layers.stream_shape(kind.shape)
        if op.axis:
            rows = prod(kind.shape[1 : op.axis])
            sides = [
                state.shaped(op, side, (rows, 1, prod(side.kind.shape) // rows), None)
                for side in sides
            ]
    joined = (*sides[0].tensor.shape[:-1], sum(side.tensor.shape[-1] for side in sides))
    tensor = state.ranged(output if joined == shape else state.fresh(output), joined, kind)
    inputs = tuple(side.tensor.name for side in sides)
    state.plan.add("Concat", inputs, tensor, node=op.name, axis=-1)
    return state.shaped(op, StreamedTensor(tensor, kind, order), shape, order)  # type: ignore[no-any-return]
