"""What no layer computes: the network's input, and constants."""

from __future__ import annotations

import numpy as np

from ...ir import Binary, Concat, Constant, Elementwise, Input, Transpose
from . import layers
from .state import Lowering, handles, refuse


@handles(Input)
def lower_input(op: Input, state: Lowering) -> None:
    """The host lays the input out as its reader needs it, which may turn the axes first."""
    axes = _axes(op.output, state) or tuple(range(len(op.shape)))
    turned = tuple(op.shape[axis] for axis in axes)
    state.input_shapes[op.output] = layers.channels_last(turned)
    order = layers.standard_order(turned)
    state.floats[op.output] = order.transpose(np.argsort(axes)), "", op.output


def _axes(tensor: str, state: Lowering) -> tuple[int, ...] | None:
    """The order that a Transpose behind `tensor` gives its axes, element-wise layers between."""
    users = state.graph.consumers(tensor)
    orders = {user.order if isinstance(user, Transpose) else None for user in users}
    if len(orders) == 1 and None not in orders:
        return orders.pop()
    if len(users) == 1 and isinstance(users[0], Elementwise) and users[0].arity == 1:
        return _axes(users[0].output, state)
    return None


@handles(Constant)
def lower_constant(op: Constant, state: Lowering) -> None:
    """Constants become part of the layers that read them; see `elementwise.py`."""
    for user in state.graph.consumers(op.output):
        if not isinstance(user, Binary | Concat):
            raise refuse(
                op, "hls4ml has constants only in sums, products and Concat, not in " + user.label
            )
