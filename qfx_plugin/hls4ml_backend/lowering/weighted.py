"""Layers with weights: fully connected, convolution, depthwise convolution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...ir import Conv, Linear, Weighted
from . import layers
from .plan import PlannedLayer
from .state import Lowering, handles


@handles(Linear)
def lower_linear(op: Linear, state: Lowering) -> None:
    """`Dense`."""
    attributes = layers.dense(op, state.operand(op).order)
    _weighted(op, "Dense", attributes, state.vector(op), state)


@handles(Conv)
def lower_conv(op: Conv, state: Lowering) -> None:
    """`DepthwiseConv2D` where each channel has its own kernel, else `Conv2D`."""
    source = state.image(op)
    shapes = state.shape(op.inputs[0]), state.shape(op.output)
    per_channel = op.is_depthwise
    if state.streams and layers.skips_rows(op.window, shapes[0][0]):
        if op.window.extent[1] > 1:
            window, codes = layers.with_zero_row(op.window, op.weight.codes)
            op = replace(op, window=window, weight=replace(op.weight, codes=codes))
        else:
            per_channel = False  # its kernel for single pixels does skip
    if per_channel:
        _weighted(op, "DepthwiseConv2D", layers.depthwise2d(op, *shapes), source, state)
    else:
        _weighted(op, "Conv2D", layers.conv2d(op, *shapes), source, state)


def _weighted(
    op: Weighted,
    kind: str,
    attributes: dict[str, Any],
    source: PlannedLayer,
    state: Lowering,
) -> None:
    """A layer with an accumulator; a cast right behind it becomes its result type."""
    result, quantize = state.result_of(op)
    accumulator = state.accumulator(op, state.formats[op.output], result)
    types = layers.weighted_precision(op, accumulator)
    if op.weight.k is not None:
        attributes = {**attributes, "khot_k": op.weight.k}
    state.emit(op, kind, attributes, result=result, types=types, into=quantize, inputs=(source,))
