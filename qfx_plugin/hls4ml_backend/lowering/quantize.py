"""Casts: of the input, as a layer of their own, and with one binary point per channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point.format import FixedPointCast, FixedPointFormat

from ...ir import Quantize
from .constants import elementwise_attributes
from .plan import PlannedInput, PlannedLayer, enclosing_format, exact, reaching
from .state import Lowering, PlannedTensor, handles, is_plain, refuse, uniform_cast


@handles(Quantize)
def lower_quantize(op: Quantize, state: Lowering) -> None:
    """A cast of the input, a linear activation, or a kernel of ours."""
    if op.inputs[0] in state.floats:
        _lower_input(op, state, *state.floats[op.inputs[0]])
    elif is_plain(op):
        cast, value = uniform_cast(op), state.operand(op)
        inputs = (state.reaching_layer(op, cast),)
        linear = {"activation": "linear"}
        state.emit(op, "Activation", linear, result=cast, casts=True, inputs=inputs, like=value)
    else:
        _lower_per_channel(op, state)


def _lower_input(
    op: Quantize, state: Lowering, order: NDArray[np.int64], view: str, source: str
) -> None:
    """The input's own type does the cast: hls4ml is given floats, the hardware gets codes.

    A cast that is no single type is the host's work: the layer then has a type that holds every
    result of it.
    """
    given, _, _ = state.floats[source]
    plain = is_plain(op)
    if not plain and not np.array_equal(order, given):
        raise refuse(op, "a cast per channel must come before the input is reshaped")
    cast = uniform_cast(op) if plain else exact(enclosing_format(*op.formats))
    if source not in state.inputs:
        shape = state.input_shapes[source]
        attributes = {"input_shape": list(shape)}
        types = {"result": cast}
        layer = PlannedLayer(
            state.name(source), source, "InputLayer", (), shape, types, attributes, casts=True
        )
        state.layers.insert(len(state.inputs), layer)
        state.inputs[source] = PlannedInput(source, layer, given, None if plain else op)
    known = state.inputs[source]
    if known.layer.result != cast or (not plain and known.host_cast is not op):
        raise refuse(
            op,
            f"hls4ml reads the input in one format, {known.layer.result}, not also in "
            f"{cast}: use one Quant for the input",
        )
    state.values[op.output] = PlannedTensor(known.layer, order, view)


def _lower_per_channel(op: Quantize, state: Lowering) -> None:
    """Shift each channel to a common binary point, cast, and shift back: three exact steps."""
    value = state.operand(op)
    source = value.layer.result.format
    coarsest = int(op.points.min())
    shifts = op.points - coarsest
    largest = int(shifts.max())
    moved = FixedPointFormat(source.width + largest, source.integer_bits + largest, source.signed)
    code = FixedPointCast(
        FixedPointFormat.from_frac_bits(op.width, coarsest, op.signed), op.rounding, op.overflow
    )
    bits = max(1, largest.bit_length())
    shift_format = FixedPointFormat(bits, bits, signed=False)
    per_sample = shifts.reshape(-1, *[1] * (value.order.ndim - 1)).astype(np.float64)
    result = exact(enclosing_format(*op.formats))
    state.emit(
        op,
        "QFXElementwise",
        elementwise_attributes("cast", value, per_sample) | {"cast_cpp": str(code)},
        result=result,
        types={"wide": exact(reaching(moved, code)), "first": exact(shift_format)},
        casts=True,
        like=value,
    )
