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
    state.require_image(op)
    shapes = state.shape(op.inputs[0]), state.shape(op.output)
    if op.groups == op.outputs == shapes[0][-1] > 1:
        _weighted(op, "DepthwiseConv2D", layers.depthwise2d(op, *shapes), state)
    else:
        _weighted(op, "Conv2D", layers.conv2d(op, *shapes), state)


def _weighted(op: Linear | Conv, kind: str, attributes: dict[str, Any], state: Lowering) -> None:
    """A layer with an accumulator; a cast right behind it becomes its result type."""
    result, quantize = state.result_of(op)
    accumulator = state.accumulator(op, state.formats[op.output], result)
    types = layers.weighted_precision(op, accumulator)
    if op.weight.k is not None:
        attributes = {**attributes, "khot_k": op.weight.k}
    state.emit(op, kind, attributes, result=result, types=types, into=quantize)
