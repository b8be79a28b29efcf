"""Shape arithmetic in front of a Reshape, as exporters write it for a dynamic batch.

Such a shape is a vector of known sizes with a 0 for the batch, which is what Reshape takes for
"copy this dimension". Only nodes that pick and join entries are understood, so that the 0 is
never computed with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.onnx_files import Node

from .importer import Importer

SizeConverter = Callable[[Node, Importer], NDArray[Any]]


def shape_of(node: Node, state: Importer) -> NDArray[Any]:
    """Shape of a tensor of the graph, 0 for the batch."""
    (x,) = node.operands(1)
    return np.array([0, *state.shape(node, x)], dtype=np.int64)


def gather(node: Node, state: Importer) -> NDArray[Any]:
    """Entries of a vector."""
    names = node.operands(2)
    values, index = (state.constant(node, name, "operand") for name in names)
    node.require("axis", 0)
    if values.ndim != 1 or index.dtype.kind not in "iu" or np.any(abs(index) >= values.size):
        raise node.refuse("must pick entries of a shape by their index")
    return np.asarray(values[index])


def unsqueeze(node: Node, state: Importer) -> NDArray[Any]:
    """A number as a vector of one."""
    name = node.operands(1, 2)[0]
    node.integers("axes")
    value = state.constant(node, name, "operand")
    if value.size != 1:
        raise node.refuse("only a single number may be unsqueezed here")
    return value.reshape(1)


def concat(node: Node, state: Importer) -> NDArray[Any]:
    """Vectors end to end."""
    node.require("axis", 0)
    parts = [state.constant(node, name, "operand") for name in node.inputs]
    if any(part.ndim != 1 for part in parts):
        raise node.refuse("must join vectors of sizes")
    return np.concatenate(parts)


def cast(node: Node, state: Importer) -> NDArray[Any]:
    """Sizes stay integers."""
    (name,) = node.operands(1)
    node.integer("to", 0)
    return state.constant(node, name, "operand")


SIZES: dict[str, SizeConverter] = {
    "Cast": cast,
    "Concat": concat,
    "Gather": gather,
    "Shape": shape_of,
    "Unsqueeze": unsqueeze,
}


def convert_size(node: Node, state: Importer) -> bool:
    """Compute a node of shape arithmetic; false if it is none."""
    found = SIZES.get(node.op_type)
    is_size = node.op_type == "Shape" or bool(node.inputs) and state.is_size(node.inputs[0])
    if found is None or not is_size:
        return False
    values = found(node, state)
    node.check_all_read()
    state.raw.put(node.output, values)
    return True
