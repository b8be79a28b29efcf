"""Pools: maximum, sum and mean."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from brevitas_quantizers.fixed_point.format import FixedPointFormat

from ...ir import AveragePool, MaxPool, SumPool
from . import layers
from .plan import PlannedLayer, exact
from .state import Lowering, handles


@handles(MaxPool)
def lower_max_pool(op: MaxPool | SumPool, state: Lowering) -> None:
    """`MaxPooling2D`; padding is a layer of ours that never wins. Single pixels are a maximum."""
    source, in_shape = state.image(op), state.shape(op.inputs[0])
    if op.window.padded:
        source, in_shape = _padded(op, "QFXPad", source, in_shape, state)
    attributes = layers.pool2d(op.window, in_shape, state.shape(op.output))
    # The accumulator holds the padding too, which a narrower type would wrap to a winner.
    _pool(op, "MaxPooling2D", attributes, source.result.format, source, state)


@handles(AveragePool)
def lower_average_pool(op: AveragePool, state: Lowering) -> None:
    """As the sum, divided by a power of two."""
    _lower_sum(op, op.window.area.bit_length() - 1, state)


@handles(SumPool)
def lower_sum_pool(op: SumPool, state: Lowering) -> None:
    """As the sum of a whole image, or as a depthwise convolution with ones."""
    _lower_sum(op, 0, state)


def _lower_sum(op: SumPool, shift: int, state: Lowering) -> None:
    """The cheapest form: a pool of single pixels, global sum, hls4ml's mean, depthwise sums."""
    if op.window.area == 1:
        lower_max_pool(op, state)
        return
    source, in_shape = state.image(op), state.shape(op.inputs[0])
    window = op.window.two_dimensional()
    if window.kernel == in_shape[:2] and not window.padded:
        _global_sum(op, shift, source, state)
    elif isinstance(op, AveragePool) and (not state.streams or window.kernel == window.strides):
        if window.padded:
            source, in_shape = _padded(op, "ZeroPadding2D", source, in_shape, state)
        attributes = layers.pool2d(op.window, in_shape, state.shape(op.output))
        # The sum is divided in place: the accumulator holds the sum and the finer mean.
        _pool(op, "AveragePooling2D", attributes, _sum_format(op, shift, state), source, state)
    else:
        _depthwise_sum(op, shift, source, state)


def _global_sum(op: SumPool, shift: int, source: PlannedLayer, state: Lowering) -> None:
    result, quantize = state.result_of(op)
    wide = state.accumulator(op, _sum_format(op, shift, state), result)
    attributes = {"n_in": prod(source.shape), "n_chan": source.shape[-1], "shift": shift}
    types = {"wide": exact(wide)}
    state.emit(
        op, "QFXGlobalSum", attributes, result=result, types=types, into=quantize, inputs=(source,)
    )


def _depthwise_sum(op: SumPool, shift: int, source: PlannedLayer, state: Lowering) -> None:
    """Each channel by a kernel of the same power of two: no multiplier is left of it."""
    result, quantize = state.result_of(op)
    types = {
        "weight": exact(FixedPointFormat(1, 1 - shift, signed=False)),
        "accum": exact(state.accumulator(op, state.formats[op.output], result)),
    }
    kernel = np.full((source.shape[-1], 1, *op.window.kernel), 2.0**-shift)
    window = op.window
    if state.streams and layers.skips_rows(window, source.shape[0]):
        window, kernel = layers.with_zero_row(window, kernel)
    attributes = layers.depthwise_kernel(window, kernel, source.shape, state.shape(op.output))
    state.emit(
        op, "DepthwiseConv2D", attributes, result=result, types=types, into=quantize,
        inputs=(source,),
    )  # fmt: skip


def _sum_format(op: SumPool, shift: int, state: Lowering) -> FixedPointFormat:
    """Holds every partial sum of a window, and the mean."""
    fmt = state.operand(op).layer.result.format
    growth = (op.window.area - 1).bit_length()
    return FixedPointFormat(fmt.width + growth + shift, fmt.integer_bits + growth, fmt.signed)


def _pool(
    op: MaxPool | SumPool,
    kind: str,
    attributes: dict[str, Any],
    accumulator: FixedPointFormat,
    source: PlannedLayer,
    state: Lowering,
) -> None:
    result = exact(state.formats[op.output])
    types = {"accum": exact(state.accumulator(op, accumulator, result))}
    state.emit(op, kind, attributes, result=result, types=types, inputs=(source,))


def _padded(
    op: MaxPool | SumPool,
    kind: str,
    source: PlannedLayer,
    in_shape: tuple[int, ...],
    state: Lowering,
) -> tuple[PlannedLayer, tuple[int, ...]]:
    """A layer that pads, and its shape."""
    padding = layers.zero_padding(op.window, in_shape)
    shape = (padding["out_height"], padding["out_width"], in_shape[2])
    result = exact(source.result.format)
    return state.append(op, "_pad", kind, source, shape, result, padding), shape
