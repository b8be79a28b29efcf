"""Operations that move elements: Reshape, Concat and Upsample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..ir import Concat, Reshape, Upsample
from . import layers
from .plan import PlannedLayer, enclosing_format, exact

if TYPE_CHECKING:
    from .lowering import Lowering


def lower_reshape(op: Reshape, state: Lowering) -> None:
    """A view of the same buffer where that is exact."""
    if op.inputs[0] in state.floats:
        state.floats[op.output] = state.floats[op.inputs[0]].reshape(op.shape)
        return
    value = state.operand(op)
    order = value.order.reshape(op.shape)
    state.place(op, value.layer, order, moved=order.shape != value.order.shape)


def lower_concat(op: Concat, state: Lowering) -> None:
    """Two by two, in a type that holds both."""
    from .lowering import Value

    values = [state.operand(op, index) for index in range(len(op.inputs))]
    if values[0].order.ndim > 1:
        for index in range(len(values)):
            state.require_image(op, index)
    joined, order = values[0].layer, values[0].order
    for index, value in enumerate(values[1:], start=1):
        channels = order.shape[0] + value.order.shape[0]
        shape = (channels, *order.shape[1:])
        order = (
            layers.standard_order(shape)
            if order.ndim > 1
            else np.concatenate([order, value.order + order.size])
        )
        fmt = enclosing_format(joined.result.format, value.layer.result.format)
        joined = PlannedLayer(
            state.name(op.name if index == len(values) - 1 else f"{op.name}_{index}"),
            op.name, "Concatenate", (joined.name, value.layer.name),
            layers.channels_last(shape), {"result": exact(fmt)},
            {"axis": -1, "op": f"concatenate{2 * (order.ndim > 1) + 1}d"},
        )  # fmt: skip
        state.layers.append(joined)
    state.values[op.output] = Value(joined, order)


def lower_upsample(op: Upsample, state: Lowering) -> None:
    """`Resize` to the nearest neighbour, in the operand's own type, which its kernel demands."""
    state.require_image(op)
    in_shape, out_shape = state.shape(op.inputs[0]), state.shape(op.output)
    attributes = {
        "data_format": "channels_last",
        "algorithm": "nearest",
        "in_height": in_shape[0],
        "in_width": in_shape[1],
        "out_height": out_shape[0],
        "out_width": out_shape[1],
        "n_chan": in_shape[2],
    }
    state.emit(op, "Resize", attributes, result=state.operand(op).layer.result)
