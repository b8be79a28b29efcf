"""What a file holds as plain values: initializers, `Constant` nodes, and other names for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point.errors import ModelFileError

from .node import Node
from .read import tensor_array


class RawConstants(Mapping[str, NDArray[np.generic]]):
    """Values by name, converted to arrays on first use.

    Args:
        graph: of the file.
        nodes: of the graph, in an order in which they can run.

    Raises:
        ModelFileError: a name is defined twice, or a `Constant` node has no tensor.
    """

    def __init__(self, graph: onnx.GraphProto, nodes: Iterable[Node]) -> None:
        self._protos: dict[str, onnx.TensorProto] = {}
        self._arrays: dict[str, NDArray[np.generic]] = {}
        self._computed: set[str] = set()
        for tensor in graph.initializer:
            self._add(tensor.name, tensor)
        for node in nodes:
            if node.is_constant:
                value = node.tensor("value")
                if value is None:
                    raise node.refuse("must have a tensor in its attribute 'value'")
                self._add(node.output, value)
            elif node.op_type == "Identity" and node.is_standard and node.inputs[:1]:
                (name,) = node.operands(1)
                if name in self._protos:
                    self._add(node.output, self._protos[name])

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self._arrays:
            self._arrays[name] = tensor_array(self._protos[name])
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._protos)

    def __len__(self) -> int:
        return len(self._protos)

    def __contains__(self, name: object) -> bool:
        return name in self._protos

    def is_computed(self, name: str) -> bool:
        """Whether `put` made the name known, so that a 0 stands for the batch."""
        return name in self._computed

    def put(self, name: str, values: NDArray[np.generic]) -> None:
        """Make computed sizes known under `name`."""
        self._add(name, onnx.TensorProto())
        self._arrays[name] = values
        self._computed.add(name)

    def _add(self, name: str, tensor: onnx.TensorProto) -> None:
        if name in self._protos:
            raise ModelFileError(f"initializer {name!r} is defined twice")
        self._protos[name] = tensor
