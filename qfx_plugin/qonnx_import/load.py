"""QONNX file to intermediate model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from brevitas_quantizers.fixed_point import FixedPointFormat
from brevitas_quantizers.onnx_files import (
    ModelSource,
    Node,
    Reader,
    fold_size,
    join_overflows,
    move_constant,
    ordered_nodes,
    read_model,
    reader_of,
)

from ..ir import Graph
from .importer import Importer, converts
from .layers import convert_quant

MAX_NODES = 100_000


def load_qonnx(
    source: ModelSource,
    *,
    input_formats: Mapping[str, FixedPointFormat | str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Graph:
    """Read a QONNX network whose every number is exact fixed point.

    Args:
        source: path of an `.onnx` file, or a `ModelProto`.
        input_formats: formats of inputs, by name, that reach arithmetic without a Quant, as in
            files of QKeras; such as `{"x": "ap_fixed<16,6>"}`. Inputs are cast to the nearest.
        outputs: tensors to stop at instead of the file's outputs, such as the one before a Softmax.

    Returns:
        The verified graph; tensors have their names of the file.

    Raises:
        ModelFileError: the file is missing, damaged, or not a proper graph.
        OptionError: `input_formats` names no input.
        UnsupportedModelError: a node, called by its name, is no exact fixed point.
    """
    model = read_model(source, MAX_NODES)
    name = model.graph.name if isinstance(source, onnx.ModelProto) else Path(source).stem
    formats = {
        key: fmt if isinstance(fmt, FixedPointFormat) else FixedPointFormat.parse(fmt)
        for key, fmt in (input_formats or {}).items()
    }
    return convert_graph(model.graph, name, reader_of(model), formats, outputs)


def convert_graph(
    graph: onnx.GraphProto,
    name: str,
    reader: Reader = Reader.QONNX,
    input_formats: Mapping[str, FixedPointFormat] | None = None,
    outputs: Sequence[str] | None = None,
) -> Graph:
    """Convert a graph that `read_model` has accepted.

    Args:
        graph: of the file.
        name: of the network.
        reader: whom the file was written for.
        input_formats: formats of inputs without a Quant.
        outputs: tensors to stop at.
    """
    outputs = [value.name for value in graph.output] if outputs is None else list(outputs)
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    nodes = ordered_nodes([Node(proto) for proto in graph.node], known, outputs)
    nodes = join_overflows(nodes, graph, outputs)
    state = Importer(graph, nodes, outputs, reader)
    state.declare_inputs(input_formats or {})
    for node in nodes:
        is_done = node.is_constant or state.quants.takes(node) or node.output_or_none in state.done
        if is_done or fold_size(node, state.constants, state.shape):
            continue
        if node.is_quant:
            convert_quant(node, state)
        elif not move_constant(node, state.constants):
            converts.convert(node, state)
    return state.graph(outputs, name)
