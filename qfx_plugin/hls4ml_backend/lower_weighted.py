"""Layers with weights: fully connected, convolution, depthwise convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..ir import Conv, Linear
from . import layers

if TYPE_CHECKING:
    from .lowering import Lowering


def lower_linear(op: Linear, state: Lowering) -> None:
    """`Dense`."""
    _weighted(op, "Dense", layers.dense(op, state.operand(op).order), state)


def lower_conv(op: Conv, state: Lowering) -> None:
    """`DepthwiseConv2D` where each channel has its own kernel, else `Conv2D`."""
    from .lowering import refuse

    state.require_image(op)
    shapes = state.shape(op.inputs[0]), state.shape(op.output)
    per_channel = op.groups == op.outputs == shapes[0][-1] > 1
    if state.streams and _skips_rows(op, shapes[0][0]):
        if layers.two_dimensional(op.window).extent[1] > 1:
            raise refuse(
                op, "io_stream needs a vertical stride of 1 with a kernel of one row: hls4ml's "
                "kernel passes over no rows; use io_parallel"
            )  # fmt: skip
        per_channel = False  # its kernel for single pixels does
    if per_channel:
        _weighted(op, "DepthwiseConv2D", layers.depthwise2d(op, *shapes), state)
    else:
        _weighted(op, "Conv2D", layers.conv2d(op, *shapes), state)


def _skips_rows(op: Conv, height: int) -> bool:
    """Whether a kernel of one row is to pass over rows of its input."""
    window = layers.two_dimensional(op.window)
    return window.extent[0] == 1 and window.strides[0] > 1 and height > 1


def _weighted(op: Linear | Conv, kind: str, attributes: dict[str, Any], state: Lowering) -> None:
    """A layer with an accumulator; a cast right behind it becomes its result type."""
    result, quantize = state.result_of(op)
    accumulator = state.accumulator(op, state.formats[op.output], result)
    types = layers.weighted_precision(op, accumulator)
    if op.weight.k is not None:
        attributes = {**attributes, "khot_k": op.weight.k}
    state.emit(op, kind, attributes, result=result, types=types, into=quantize)
