"""Operations that move elements: Reshape and Concat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..ir import Concat, Reshape
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
