"""Constants of element-wise layers, in the order and with the period of hls4ml's buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .state import PlannedTensor


def elementwise_attributes(
    kind: str,
    value: PlannedTensor,
    first: NDArray[np.float64],
    second: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Attributes of a `QFXElementwise` layer.

    Args:
        kind: which operation (see `templates/nnet_utils/nnet_qfx.h`).
        value: the tensor that it reads.
        first: constant, broadcastable to a sample, channels first.
        second: another one.
    """
    attributes: dict[str, Any] = {"kind": kind, "n_in": value.order.size}
    channels = value.layer.shape[-1]
    attributes["first_data"] = periodic(value.order, channels, first)
    if second is not None:
        attributes["second_data"] = periodic(value.order, channels, second)
    return attributes


def periodic(
    order: NDArray[np.int64], channels: int, values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) values in the order of the buffer, where element i takes `values[i % n]`.

    n is 1 for a common value, the number of channels where pixels do not differ, or the size.
    """
    full = np.broadcast_to(values, order.shape)
    buffer = np.empty(order.size)
    buffer[order.reshape(-1)] = full.reshape(-1)
    for period in (1, channels):
        rows = buffer.reshape(-1, period)
        if (rows == rows[0]).all():
            return np.ascontiguousarray(rows[0])
    return buffer
