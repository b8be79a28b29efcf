"""Operations that move elements: Reshape, Transpose, Concat and Upsample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...ir import Concat, Upsample, View
from . import layers
from .plan import PlannedLayer, enclosing_format, exact
from .state import Lowering, PlannedTensor, handles


@handles(View)
def lower_view(op: View, state: Lowering) -> None:
    """No layer: the same elements at the same places, seen in another shape."""
    if op.inputs[0] in state.floats:
        order, _ = state.floats[op.inputs[0]]
        state.floats[op.output] = op.seen(order), op.name
        return
    value = state.operand(op)
    state.values[op.output] = replace(value, order=op.seen(value.order), view=op.name)


@handles(Concat)
def lower_concat(op: Concat, state: Lowering) -> None:
    """Two by two, in a type that holds both."""
    values = [state.operand(op, index) for index in range(len(op.inputs))]
    order, is_image = values[0].order, values[0].order.ndim > 1
    laid_out = state.image if is_image else state.vector
    sources = [laid_out(op, index) for index in range(len(values))]
    joined = sources[0]
    for index, value in enumerate(values[1:], start=1):
        channels = order.shape[0] + value.order.shape[0]
        shape = (channels, *order.shape[1:])
        order = (
            layers.standard_order(shape)
            if is_image
            else np.concatenate([order, value.order + order.size])
        )
        fmt = enclosing_format(joined.result.format, value.layer.result.format)
        joined = PlannedLayer(
            state.name(op.name if index == len(values) - 1 else f"{op.name}_{index}"),
            op.name, "Concatenate", (joined.name, sources[index].name),
            layers.channels_last(shape), {"result": exact(fmt)},
            {"axis": -1, "op": f"concatenate{2 * is_image + 1}d"},
        )  # fmt: skip
        state.layers.append(joined)
    state.values[op.output] = PlannedTensor(joined, order)


@handles(Upsample)
def lower_upsample(op: Upsample, state: Lowering) -> None:
    """`Resize` to the nearest neighbour, in the operand's own type, which its kernel demands."""
    source = state.image(op)
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
    state.emit(op, "Resize", attributes, result=source.result, inputs=(source,))
