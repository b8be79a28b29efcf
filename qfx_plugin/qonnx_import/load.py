"""QONNX file to intermediate model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from brevitas_quantizers.fixed_point import FixedPointFormat
from brevitas_quantizers.onnx_files import (
    ModelSource,
    Node,
    Refusals,
    adopt,
    fold_size,
    join_overflows,
    move_constant,
    ordered_nodes,
    read_model,
    reader_of,
    warn_of_changes,
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
    snap_scales: bool = False,
) -> Graph:
    """Read a QONNX network whose every number is exact fixed point.

    Args:
        source: path of an `.onnx` file, or a `ModelProto`.
        input_formats: formats of inputs, by name, that reach arithmetic without a Quant, as in
            files of QKeras; such as `{"x": "ap_fixed<16,6>"}`. Inputs are cast to the nearest.
        outputs: tensors to stop at instead of the file's outputs, such as the one before a Softmax.
        snap_scales: move a scale that is no power of two to the nearest one, and cast float
            constants, with a warning that says by how much; otherwise these are errors.

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
    outputs = [value.name for value in model.graph.output] if outputs is None else list(outputs)
    refusals = Refusals(name or "model")
    graph, cast = adopt(model, outputs, refusals, snap_scales)
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    nodes = ordered_nodes([Node(proto) for proto in graph.node], known, outputs)
    nodes = join_overflows(nodes, graph, outputs)
    state = Importer(graph, nodes, outputs, reader_of(model), snap_scales, refusals)
    state.declare_inputs(formats)
    for node in sorted(nodes, key=state.is_computed):  # constants first: tables are of them
        refusals.follow(node)
        with refusals.collecting(node):
            _convert(node, state, refusals.blocks(node))
    refusals.raise_if_any()
    warn_of_changes("load_qonnx", state.snapped, cast, 2)
    return state.graph(outputs, name)


def _convert(node: Node, state: Importer, blocked: bool) -> None:
    """Take in one node; of one that is behind a refused one, look at what can be seen."""
    is_done = node.is_constant or state.quants.takes(node) or node.output_or_none in state.done
    if blocked:
        if node.is_quant:
            state.quants.read(node)
        converts.check(node)
    elif is_done or fold_size(node, state.constants, state.shape):
        return
    elif node.is_quant:
        convert_quant(node, state)
    elif not move_constant(node, state.constants):
        converts.convert(node, state)
