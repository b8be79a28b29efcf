"""Element by element: ReLU, PReLU, Clip, sums and products of tensors and of constants."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from brevitas_quantizers.fixed_point import Interval, minimal_format
from brevitas_quantizers.fixed_point.format import FixedPointFormat

from ...ir import Add, Binary, Clip, Constant, Extreme, Multiply, Op, PRelu, Relu
from . import layers
from .constants import elementwise_attributes
from .plan import enclosing_format, exact, reaching
from .state import Lowering, PlannedTensor, handles, refuse


@handles(Relu)
def lower_relu(op: Relu, state: Lowering) -> None:
    """hls4ml's own; a cast behind it becomes its result type."""
    result, quantize = state.result_of(op)
    inputs, value = (state.reaching_layer(op, result),), state.operand(op)
    relu = {"activation": "relu"}
    state.emit(op, "Activation", relu, result=result, into=quantize, inputs=inputs, like=value)


@handles(PRelu)
def lower_prelu(op: PRelu, state: Lowering) -> None:
    """One slope, or one per channel."""
    order = state.operand(op).order
    slope = layers.weight_values(op.slope).reshape(-1, *[1] * (order.ndim - 1))
    _emit_elementwise(op, "prelu", (slope,), (layers.weight_format(op.slope),), state)


@handles(Clip)
def lower_clip(op: Clip, state: Lowering) -> None:
    """Two bounds; a missing one is the end of the operand's range."""
    operand = state.operand(op).layer.result.format
    ends = [
        (operand.min_code, operand.frac_bits) if op.low is None else (op.low, op.frac_bits),
        (operand.max_code, operand.frac_bits) if op.high is None else (op.high, op.frac_bits),
    ]
    values = [np.array([float(code * Fraction(2) ** -bits)]) for code, bits in ends]
    formats = [minimal_format(Interval(code, code, bits)) for code, bits in ends]
    wide = enclosing_format(operand, *formats)
    _emit_elementwise(op, "clip", tuple(values), tuple(formats), state, wide=wide)


@handles(Add)
def lower_add(op: Add, state: Lowering) -> None:
    """A constant in each channel, or a second tensor."""
    found = state.graph.constant_operand(op)
    if found is None:
        _lower_binary(op, "add", state)
    else:
        _emit_constant(op, found[0], "offset", found[1], state)


@handles(Multiply)
def lower_multiply(op: Multiply, state: Lowering) -> None:
    """A factor in each channel, with the constant added behind it, or a second tensor."""
    found = state.graph.constant_operand(op)
    if found is None:
        _lower_binary(op, "multiply", state)
        return
    (source, constant), add = found, state.only_user(op)
    offset = state.graph.constant_operand(add) if isinstance(add, Add) else None
    same = add is not None and state.types[op.output].shape == state.types[add.output].shape
    if isinstance(add, Add) and offset is not None and same:
        _emit_affine(op, add, source, (constant, offset[1]), state)
    else:
        _emit_constant(op, source, "scale", constant, state)


@handles(Extreme)
def lower_extreme(op: Extreme, state: Lowering) -> None:
    """Two tensors."""
    if state.graph.constant_operand(op) is not None:
        raise refuse(op, "compares two tensors, not one with a constant: use a Clip")
    _lower_binary(op, "maximum" if op.largest else "minimum", state)


def _emit_constant(op: Op, source: str, kind: str, constant: Constant, state: Lowering) -> None:
    value = _repeated(op, op.inputs.index(source), state)
    values = (layers.weight_values(constant.weight),)
    formats = (layers.weight_format(constant.weight),)
    _emit_elementwise(op, kind, values, formats, state, value=value)


def _emit_affine(
    op: Op, add: Add, source: str, constants: tuple[Constant, Constant], state: Lowering
) -> None:
    value = _repeated(op, op.inputs.index(source), state)
    values = tuple(layers.weight_values(constant.weight) for constant in constants)
    formats = tuple(layers.weight_format(constant.weight) for constant in constants)
    _emit_elementwise(op, "affine", values, formats, state, value=value, last=add)


def _repeated(op: Op, index: int, state: Lowering) -> PlannedTensor:
    """An operand, repeated where it is smaller than the result."""
    value, shape = state.operand(op, index), state.types[op.output].shape
    if value.order.shape == shape:
        return value
    wide = np.broadcast_to(value.order, shape)
    return state.gather(f"{op.name}_wide", op.name, value, wide)


def _emit_elementwise(
    op: Op,
    kind: str,
    constants: tuple[np.ndarray, ...],
    formats: tuple[FixedPointFormat, ...],
    state: Lowering,
    *,
    value: PlannedTensor | None = None,
    last: Op | None = None,
    wide: FixedPointFormat | None = None,
) -> None:
    """A `QFXElementwise` layer for `op` up to `last`, and the cast behind it."""
    last = last or op
    result, quantize = state.result_of(last)
    value = value or state.operand(op)
    accumulator = reaching(wide or state.formats[last.output], result)
    names = ("first", "second")
    types = {"wide": exact(accumulator)}
    types |= {name: exact(fmt) for name, fmt in zip(names, formats, strict=False)}
    state.emit(
        op,
        "QFXElementwise",
        elementwise_attributes(kind, value, *constants),
        result=result,
        types=types,
        into=quantize or (last if last is not op else None),
        inputs=(value.layer,),
        like=value,
    )
    state.values[last.output] = state.values[op.output]


def _lower_binary(op: Binary, kind: str, state: Lowering) -> None:
    """Two tensors; the smaller one may repeat in every pixel."""
    positions = [0, 1]
    positions.sort(key=lambda index: -state.operand(op, index).order.size)
    left, right = (state.operand(op, index) for index in positions)
    if np.array_equal(left.order, right.order):
        first, second = left.layer, state.laid_out(op, right, left.layer.shape)
    elif _repeats(right.order, left.order):
        first, second = (state.image(op, index) for index in positions)
        left = state.operand(op, positions[0])
    else:
        left, right = (_plain(op, index, state) for index in positions)
        first, second = left.layer, right.layer
    result, quantize = state.result_of(op)
    wide = reaching(state.formats[op.output], result)
    state.emit(
        op,
        "QFXBinary",
        {"kind": kind, "n_in": left.order.size, "n_right": right.order.size},
        result=result,
        types={"wide": exact(wide)},
        into=quantize,
        inputs=(first, second),
        like=replace(left, layer=first),
    )


def _plain(op: Op, index: int, state: Lowering) -> PlannedTensor:
    """An operand in the shape of the result, channels last."""
    value = _repeated(op, index, state)
    shape = value.order.shape
    if not np.array_equal(value.order, layers.standard_order(shape)):
        value = state.gather(value.view or op.name, op.name, value, value.order)
    return replace(value, layer=state.laid_out(op, value, layers.channels_last(shape)))


def _repeats(order: np.ndarray, image: np.ndarray) -> bool:
    """Whether a tensor of `order` has one pixel and as many channels as `image`."""
    return image.ndim > 1 and order.shape == (image.shape[0], *[1] * (image.ndim - 1))
