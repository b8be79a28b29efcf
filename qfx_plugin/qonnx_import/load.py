"""QONNX file to intermediate model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx

from ..ir import Graph
from .elementwise import convert_add, convert_clip, convert_mul, convert_prelu, convert_relu
from .importer import Importer
from .layers import (
    convert_average_pool,
    convert_conv,
    convert_gemm,
    convert_global_average_pool,
    convert_matmul,
    convert_max_pool,
    convert_quant,
    convert_reduce_mean,
    convert_reduce_sum,
)
from .node import Node
from .order import ordered_nodes
from .read import QUANT_DOMAINS, STANDARD_DOMAINS, ModelSource, read_model
from .shapes import (
    convert_concat,
    convert_flatten,
    convert_identity,
    convert_reshape,
    convert_squeeze,
    convert_transpose,
    convert_unsqueeze,
)
from .sizes import convert_size

Converter = Callable[[Node, Importer], None]

STANDARD: dict[str, Converter] = {
    "Add": convert_add,
    "AveragePool": convert_average_pool,
    "Clip": convert_clip,
    "Concat": convert_concat,
    "Conv": convert_conv,
    "Dropout": convert_identity,
    "Flatten": convert_flatten,
    "Gemm": convert_gemm,
    "GlobalAveragePool": convert_global_average_pool,
    "Identity": convert_identity,
    "MatMul": convert_matmul,
    "MaxPool": convert_max_pool,
    "Mul": convert_mul,
    "PRelu": convert_prelu,
    "ReduceMean": convert_reduce_mean,
    "ReduceSum": convert_reduce_sum,
    "Relu": convert_relu,
    "Reshape": convert_reshape,
    "Squeeze": convert_squeeze,
    "Transpose": convert_transpose,
    "Unsqueeze": convert_unsqueeze,
}
"""Operations of the standard domain and what converts them."""

QUANT_NAMES = ("Quant", "IntQuant")


def load_qonnx(source: ModelSource) -> Graph:
    """Read a QONNX network whose every number is exact fixed point.

    Args:
        source: path of an `.onnx` file, or a `ModelProto`.

    Returns:
        The verified graph; tensors have their names of the file.

    Raises:
        ModelFileError: the file is missing, damaged, or not a proper graph.
        UnsupportedModelError: a node, called by its name, is no exact fixed point.
    """
    model = read_model(source)
    name = model.graph.name if isinstance(source, onnx.ModelProto) else Path(source).stem
    return convert_graph(model.graph, name)


def convert_graph(graph: onnx.GraphProto, name: str) -> Graph:
    """Convert a graph that `read_model` has accepted."""
    outputs = [value.name for value in graph.output]
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    nodes = ordered_nodes([Node(proto) for proto in graph.node], known, outputs)
    state = Importer(graph, nodes)
    halves = dict(_half_lsb_adds(nodes, state, outputs))
    skipped = {add for add, _ in halves.values()}
    for node in nodes:
        if node.op_type == "Constant" or node.output_or_none in skipped:
            continue
        if convert_size(node, state):
            continue
        if _is_quant(node):
            _, half_of = halves.get(node.output, ("", None))
            convert_quant(node, state, half_of)
        else:
            _converter(node)(node, state)
    return state.graph(outputs, name)


def _converter(node: Node) -> Converter:
    found = STANDARD.get(node.op_type) if node.domain in STANDARD_DOMAINS else None
    if found is None:
        supported = ", ".join(["Quant", *STANDARD])
        domain = f" of domain {node.domain!r}" if node.domain else ""
        raise node.refuse(f"this operation{domain} is not supported; supported are {supported}")
    return found


def _is_quant(node: Node) -> bool:
    domain = node.domain in (*QUANT_DOMAINS, *STANDARD_DOMAINS)
    return domain and node.op_type in QUANT_NAMES


def _half_lsb_adds(
    nodes: list[Node], state: Importer, outputs: list[str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Pairs of (Add of half an LSB, Quant FLOOR): how QONNX spells AP_RND.

    Yields:
        Output of the Quant; output of the Add and the tensor it adds to.
    """
    readers: dict[str, int] = dict.fromkeys(outputs, 1)
    for name in (name for node in nodes for name in node.inputs):
        readers[name] = readers.get(name, 0) + 1
    adds = {node.output_or_none: node for node in nodes if node.op_type == "Add"}
    for node in nodes:
        add = adds.get(node.inputs[0]) if _is_quant(node) and len(node.inputs) == 4 else None
        if add is None or readers[node.inputs[0]] != 1 or len(add.inputs) != 2:
            continue
        if node.text("rounding_mode", "ROUND").upper() != "FLOOR":
            continue
        for half, source in (add.inputs, add.inputs[::-1]):
            if half in state.raw and _is_half(state, half, node.inputs[1]):
                yield node.output, (add.outputs[0], source)
                break


def _is_half(state: Importer, half: str, scale: str) -> bool:
    """Whether initializer `half` is half of `scale`, element by element."""
    if scale not in state.raw:
        return False
    values, steps = state.raw[half], state.raw[scale]
    same_shape = values.size == 1 or values.shape == steps.shape or steps.size == 1
    return bool(same_shape and np.all(values * 2 == steps))
