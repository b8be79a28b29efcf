"""How many dimensions tensors have, as far as a channel's axis has to be known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from ..node import Node

_MATRICES = ("Gemm", "Flatten")
_UNKNOWN = ("Gather", "GatherND", "Expand", "Tile", "Where")


def known_ranks(graph: onnx.GraphProto) -> dict[str, int]:
    """Of the tensors of which the file says it."""
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }


def follow_rank(
    node: Node, ranks: dict[str, int], constants: Mapping[str, NDArray[np.generic]]
) -> None:
    """Note the rank of a node's results, unless they are known or nobody can tell."""
    rank = _rank(node, ranks, constants)
    for name in node.outputs:
        if rank is not None:
            ranks.setdefault(name, rank)


def _rank(
    node: Node, ranks: dict[str, int], constants: Mapping[str, NDArray[np.generic]]
) -> int | None:
    if node.op_type in _MATRICES:
        return 2
    if node.op_type == "Reshape":
        name = node.inputs[1] if len(node.inputs) > 1 else ""
        return constants[name].size if name in constants else None
    moving = [ranks[name] for name in node.inputs if name in ranks and name not in constants]
    shrinks = node.op_type in ("Squeeze", "Unsqueeze") or (
        node.op_type.startswith(("Reduce", "Arg")) and node.integer("keepdims", 1) == 0
    )
    if not moving or node.op_type in _UNKNOWN or shrinks:
        return None
    return max(moving)
