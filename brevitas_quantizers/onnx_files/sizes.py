"""Shape arithmetic in front of a Reshape, as exporters write it for a dynamic batch.

Such a shape is a vector of known sizes with a 0 for the batch, which is what Reshape takes for
"copy this dimension". Only nodes that pick and join entries are understood, so that the 0 is
never computed with.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .node import Node
from .operands import FileConstants

Sizes = NDArray[np.generic]


def gather(node: Node, constants: FileConstants) -> Sizes:
    """Entries of a vector."""
    names = node.operands(2)
    values, index = (constants.array(node, name, "operand") for name in names)
    node.require("axis", 0)
    if values.ndim != 1 or index.dtype.kind not in "iu" or np.any(abs(index) >= values.size):
        raise node.refuse("must pick entries of a shape by their index")
    return np.asarray(values[index])


def unsqueeze(node: Node, constants: FileConstants) -> Sizes:
    """A number as a vector of one."""
    name = node.operands(1, 2)[0]
    node.integers("axes")
    value = constants.array(node, name, "operand")
    if value.size != 1:
        raise node.refuse("only a single number may be unsqueezed here")
    return value.reshape(1)


def concat(node: Node, constants: FileConstants) -> Sizes:
    """Vectors end to end."""
    node.require("axis", 0)
    parts = [constants.array(node, name, "operand") for name in node.inputs]
    if any(part.ndim != 1 for part in parts):
        raise node.refuse("must join vectors of sizes")
    return np.concatenate(parts)


def cast(node: Node, constants: FileConstants) -> Sizes:
    """Sizes stay integers."""
    (name,) = node.operands(1)
    node.integer("to", 0)
    return constants.array(node, name, "operand")


SIZES: dict[str, Callable[[Node, FileConstants], Sizes]] = {
    "Cast": cast,
    "Concat": concat,
    "Gather": gather,
    "Unsqueeze": unsqueeze,
}


def fold_size(
    node: Node, constants: FileConstants, sample: Callable[[Node, str], tuple[int, ...]]
) -> bool:
    """Compute a node of shape arithmetic; false if it is none.

    Args:
        node: of the file.
        constants: of the file; the result becomes one of them.
        sample: shape of one sample of a tensor that `node` reads, with the axes of the file.
    """
    if node.op_type == "Shape" and node.is_standard:
        (x,) = node.operands(1)
        values: Sizes = np.array([0, *sample(node, x)], dtype=np.int64)
    elif node.op_type in SIZES and node.inputs and constants.is_size(node.inputs[0]):
        values = SIZES[node.op_type](node, constants)
    else:
        return False
    node.check_all_read()
    constants.raw.put(node.output, values)
    return True
