"""Operations that move elements: whatever shows some of an operand's, and Concat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...ir import Arrangement, Concat, Constant, Selection
from . import layers
from .plan import PlannedLayer, enclosing_format, exact
from .state import Lowering, PlannedTensor, handles, refuse


@handles(Arrangement)
def lower_arrangement(op: Arrangement, state: Lowering) -> None:
    """No layer for a view: the same elements at the same places, seen in another shape."""
    (name,) = op.inputs
    if name in state.floats:
        if isinstance(op, Selection):
            raise refuse(
                op, "takes elements of an input in front of its Quant: put the Quant first"
            )
        order, _, source = state.floats[name]
        state.floats[op.output] = op.seen(order), op.name, source
        return
    value = state.operand(op)
    shown = op.seen(value.order)
    if isinstance(op, Selection):
        state.values[op.output] = state.gather(op.name, op.name, value, shown)
    else:
        state.values[op.output] = replace(value, order=shown, view=op.name)


@handles(Concat)
def lower_concat(op: Concat, state: Lowering) -> None:
    """The tensors, then the constants between them as entries of a table."""
    producers = [state.graph.producer(name) for name in op.inputs]
    tensors = [n for n, one in enumerate(producers) if not isinstance(one, Constant)]
    value = _joined(op, tensors, state)
    if len(tensors) < len(producers):
        ends = np.cumsum([state.types[op.inputs[n]].shape[op.axis] for n in tensors])[:-1]
        parts = iter(np.split(value.order, ends, axis=op.axis))
        known, fmt, orders = [np.zeros(1)], value.layer.result.format, []
        for producer in producers:
            if not isinstance(producer, Constant):
                orders.append(next(parts))
                continue
            values = layers.weight_values(producer.weight)
            first = sum(part.size for part in known)
            orders.append(-1 - first - np.arange(values.size).reshape(values.shape))
            known.append(values.reshape(-1))
            fmt = enclosing_format(fmt, layers.weight_format(producer.weight))
        value = state.gather(
            op.name, op.name, value, np.concatenate(orders, axis=op.axis),
            known=np.concatenate(known), result=exact(fmt),
        )  # fmt: skip
    state.values[op.output] = value


def _joined(op: Concat, indices: list[int], state: Lowering) -> PlannedTensor:
    """Two by two, in a type that holds both; images along hls4ml's axes, others as vectors."""
    values = [state.operand(op, index) for index in indices]
    order, is_image = values[0].order, values[0].order.ndim in (2, 3)
    if len(values) == 1:
        return values[0]
    laid_out = state.image if is_image else state.vector
    sources = [laid_out(op, index) for index in indices]
    joined, shape = sources[0], order.shape
    axis = op.axis - order.ndim - 1 if is_image and op.axis else -1
    for index, value in enumerate(values[1:], start=1):
        added = shape[op.axis] + value.order.shape[op.axis]
        shape = (*shape[: op.axis], added, *shape[op.axis + 1 :])
        moved = np.concatenate([order, value.order + order.size], axis=op.axis)
        order = layers.standard_order(shape) if is_image else moved
        fmt = enclosing_format(joined.result.format, value.layer.result.format)
        joined = PlannedLayer(
            state.name(op.name if index == len(values) - 1 else f"{op.name}_{index}"),
            op.name, "Concatenate", (joined.name, sources[index].name),
            layers.channels_last(shape) if is_image else (order.size,), {"result": exact(fmt)},
            {"axis": axis, "op": f"concatenate{2 * is_image + 1}d"},
        )  # fmt: skip
        state.layers.append(joined)
    return PlannedTensor(joined, order)
