"""An independent look at an exported file: does any number enter arithmetic without a Quant?"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

# Exact on fixed-point operands: sums, products, comparisons, moves. Means and bounds are checked.
EXACT = frozenset(
    {"Add", "Clip", "Concat", "Conv", "Dropout", "Flatten", "Gemm", "Identity", "MatMul"}
    | {"MaxPool", "Mul", "PRelu", "ReduceSum", "Relu", "Reshape", "Squeeze", "Transpose"}
    | {"Unsqueeze", "Neg", "Max", "Min", "ArgMax", "ArgMin", "ReduceMax", "ReduceMin"}
    | {"ConvTranspose", "DepthToSpace", "Expand", "Pad", "Resize", "Slice", "Split", "Tile"}
)
MEANS = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean"})
SHAPES = dict.fromkeys(["ReduceMean", "ReduceSum", "Reshape", "Squeeze", "Unsqueeze"], {1})
SHAPES |= {"Expand": {1}, "Pad": {1, 2, 3}, "Resize": {1, 2, 3}, "Slice": {1, 2, 3, 4}}
SHAPES |= {"Split": {1}, "Tile": {1}}
TABLE = {"Div": {1}, "Cast": set(), "Sub": {1}, "Gather": {0}}
"""Steps of a table, and which of their operands are its constants."""
BOUND_BITS = 16
NUMBERS = ("Add", "Mul", "Sub")
"""Take short numbers that no Quant has cast."""


def float_arithmetic(model: onnx.ModelProto) -> list[str]:
    """`node: why` for each node that computes with a number that is not fixed point."""
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in graph.value_info
    }
    fixed: set[str] = set()
    found = []
    for node in graph.node:
        if node.op_type == "Constant":
            continue
        if node.op_type == "Quant":
            found += [f"{node.name}: {why}" for why in quant_problems(node, constants)]
        elif not adds_half(node, list(graph.node), constants):
            if node.op_type == "Clip":
                ends = [name for name in node.input[1:] if name]
                fixed |= {name for name in ends if is_short(constants[name])}
            if node.op_type in NUMBERS:
                known = [name for name in node.input if name in constants]
                fixed |= {name for name in known if is_short(constants[name])}
            found += [f"{node.name}: {why}" for why in table_problems(node, graph, constants)]
            found += [f"{node.name}: {why}" for why in node_problems(node, fixed, shapes)]
        fixed |= set(node.output)
    return found


def is_short(bound: np.ndarray) -> bool:
    """Whether a bound is a short binary fraction, an exact fixed-point number as it stands."""
    whole = bound.astype(np.float64) * 2**BOUND_BITS
    return bool((whole == np.rint(whole)).all())


def adds_half(
    node: onnx.NodeProto, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]
) -> bool:
    """Whether this is the first half of a cast: QONNX spells AP_RND as `+ LSB/2` and FLOOR."""
    quants = [other for other in nodes if node.output[0] in other.input]
    if node.op_type != "Add" or [other.op_type for other in quants] != ["Quant"]:
        return False
    modes = {a.s for a in quants[0].attribute if a.name == "rounding_mode"}
    halves = [constants[name] for name in node.input if name in constants]
    scale = constants[quants[0].input[1]]
    return modes == {b"FLOOR"} and len(halves) == 1 and bool((halves[0] * 2 == scale).all())


def quant_problems(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> list[str]:
    """A Quant is fixed point where its scales are powers of two and its zero point is 0."""
    scale, zero, width = (constants[name] for name in node.input[1:])
    found = [] if (np.frexp(scale)[0] == 0.5).all() else [f"scale {scale}"]
    found += [] if (zero == 0).all() else [f"zero point {zero}"]
    return found + ([] if width == np.round(width) and width > 1 else [f"bit width {width}"])


def table_problems(
    node: onnx.NodeProto, graph: onnx.GraphProto, constants: dict[str, np.ndarray]
) -> list[str]:
    """A table divides by an LSB, counts in integers, and its entries are cast where they leave."""
    if node.op_type == "Div" and not (np.frexp(constants[node.input[1]])[0] == 0.5).all():
        return [f"Div by {constants[node.input[1]]}"]
    behind = [other.op_type for other in graph.node if node.output[0] in other.input]
    if (
        node.op_type == "Sub"
        and behind == ["Gather"]
        and constants[node.input[1]].dtype != np.int64
    ):
        return [f"Sub of {constants[node.input[1]].dtype}"]
    users = [other for other in graph.node if node.output[0] in other.input]
    if (
        node.op_type == "Gather"
        and node.input[0] in constants
        and not all(
            user.op_type == "Quant" or adds_half(user, list(graph.node), constants)
            for user in users
        )
    ):
        return [f"Gather is read by {users[0].op_type}"]
    return []


def node_problems(node: onnx.NodeProto, fixed: set[str], shapes: dict[str, list[int]]) -> list[str]:
    """Any other node computes exactly, on operands that are fixed point."""
    if node.op_type in MEANS:
        area = window_area(node, shapes)
        if area < 1 or area & (area - 1):
            return [f"{node.op_type} divides by {area}"]
    elif node.op_type not in EXACT and node.op_type not in TABLE:
        return [f"{node.op_type} is not exact"]
    own = {} if node.op_type == "Sub" else TABLE
    skipped = SHAPES.get(node.op_type, set()) | own.get(node.op_type, set())
    if node.op_type == "Gather" and node.input[0] in fixed:
        skipped = {1}  # of a tensor, by constant indices
    return [
        f"{node.op_type} reads {name}, which is float"
        for index, name in enumerate(node.input)
        if name and index not in skipped and name not in fixed
    ]


def window_area(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    """Elements that a mean is taken over."""
    if node.op_type == "AveragePool":
        kernel = next(a for a in node.attribute if a.name == "kernel_shape")
        return int(np.prod(kernel.ints))
    before, after = (shapes.get(name) for name in (node.input[0], node.output[0]))
    if node.op_type == "ReduceMean" and after:
        return int(np.prod(before) // np.prod(after))
    return int(np.prod(before[2:]))
