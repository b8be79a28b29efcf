"""Values of large initializers, kept out of a graph while it is rewritten.

Protobuf copies a message with everything in it, and so do shape inference and ONNX' optimizer,
many times in an export. Until the values are put back, a token stands in the place of each.
"""

from __future__ import annotations

import onnx

_LARGE = 1 << 12
"""Bytes."""


class SetAside:
    """The values of the large float initializers of `graph`, which are taken out of it.

    A token has one byte more than whole floats have, so that no other values are taken for it.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._values: dict[bytes, bytes] = {}
        for tensor in graph.initializer:
            is_float = tensor.data_type == onnx.TensorProto.FLOAT
            if is_float and len(tensor.raw_data) > _LARGE:
                token = f"{len(self._values):08}:".encode()
                self._values[token], tensor.raw_data = tensor.raw_data, token

    def put_back(self, graph: onnx.GraphProto) -> None:
        """Give initializers of `graph`, and copies of them by any name, their values again."""
        for tensor in graph.initializer:
            if tensor.raw_data in self._values:
                tensor.raw_data = self._values[tensor.raw_data]
        self._values.clear()
