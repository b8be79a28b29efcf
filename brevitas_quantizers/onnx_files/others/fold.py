"""What a file computes from constants alone: bit widths, scales, weights that are moved."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator

from brevitas_quantizers.fixed_point.errors import one_line

from ..node import Node

ELEMENTWISE = (
    *("Abs", "Add", "And", "Cast", "Ceil", "Clip", "Div", "Equal", "Exp", "Floor", "Greater"),
    *("GreaterOrEqual", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or"),
    *("Pow", "Reciprocal", "Relu", "Round", "Sign", "Sqrt", "Sub", "Where"),
)
_MOVING = (
    *("Concat", "Gather", "ReduceMax", "ReduceMin", "Reshape", "Slice", "Squeeze", "Transpose"),
    *("Unsqueeze",),
)
FOLDED = (*ELEMENTWISE, *_MOVING)
MAX_ELEMENTS = 1 << 24
"""Of one result."""
_SCALARS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def constant_value(node: Node) -> NDArray[np.generic] | None:
    """Of a `Constant` node whose value is no tensor."""
    proto = {attribute.name: attribute for attribute in node.proto.attribute}
    for name, kind in _SCALARS.items():
        if name in proto:
            return np.asarray(helper.get_attribute_value(proto[name]), kind)
    return None


def fold(
    node: Node, values: dict[str, NDArray[np.generic]], opset: int
) -> list[NDArray[np.generic]]:
    """What a node of `FOLDED` computes from `values`, its operands.

    Raises:
        UnsupportedModelError: it cannot be computed, or is too large.
    """
    if _size(node, values.values()) > MAX_ELEMENTS:
        raise node.refuse(f"its constant result exceeds {MAX_ELEMENTS} elements")
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    proto.ClearField("name")
    ends, starts = (
        [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names)]
        for names in (node.outputs, values)
    )
    part = helper.make_graph([proto], "constants", starts, ends)
    model = helper.make_model(part, opset_imports=[helper.make_opsetid("", opset)])
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(model).run(None, values)
    except Exception as error:  # noqa: BLE001 # whatever the reference implementation raises
        raise node.refuse(f"its constants cannot be computed: {one_line(error)}") from None
    arrays = [np.asarray(value) for value in found]
    if any(array.dtype.kind not in "fiub" for array in arrays):
        raise node.refuse("its constants must be numbers")
    return arrays


def _size(node: Node, values: Iterable[NDArray[np.generic]]) -> int:
    """At most so many elements come out."""
    shapes = [value.shape for value in values]
    if node.op_type == "Gather":
        return math.prod(map(math.prod, shapes))
    if node.op_type not in ELEMENTWISE:
        return len(node.inputs) * max(map(math.prod, shapes))
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return math.prod(max(sizes) for sizes in zip(*padded, strict=True))
