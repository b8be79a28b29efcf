"""QONNX file to intermediate model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx

from brevitas_quantizers.fixed_point import FixedPointFormat
from brevitas_quantizers.onnx_files import (
    ModelSource,
    Node,
    ordered_nodes,
    read_model,
    reader_of,
    refuse_operation,
)

from ..ir import Graph
from .elementwise import (
    convert_add,
    convert_clip,
    convert_leaky_relu,
    convert_mul,
    convert_prelu,
    convert_relu,
)
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
from .shapes import (
    convert_concat,
    convert_flatten,
    convert_identity,
    convert_reshape,
    convert_resize,
    convert_squeeze,
    convert_transpose,
    convert_unsqueeze,
)
from .sizes import convert_size

Converter = Callable[[Node, Importer], None]

MAX_NODES = 100_000

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
    "LeakyRelu": convert_leaky_relu,
    "MatMul": convert_matmul,
    "MaxPool": convert_max_pool,
    "Mul": convert_mul,
    "PRelu": convert_prelu,
    "ReduceMean": convert_reduce_mean,
    "ReduceSum": convert_reduce_sum,
    "Relu": convert_relu,
    "Reshape": convert_reshape,
    "Resize": convert_resize,
    "Squeeze": convert_squeeze,
    "Transpose": convert_transpose,
    "Unsqueeze": convert_unsqueeze,
    "Upsample": convert_resize,
}
"""Operations of the standard domain and what converts them."""

CHANNELS_LAST: dict[str, Converter] = {"Conv": convert_conv, "MaxPool": convert_max_pool}
"""Operations of QONNX's channels-last domain."""


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
    reader: str = "qonnx",
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
    state = Importer(graph, nodes, outputs, reader)
    state.declare_inputs(input_formats or {})
    for node in nodes:
        if node.is_constant or state.quants.takes(node) or convert_size(node, state):
            continue
        if node.is_quant:
            convert_quant(node, state)
        else:
            _converter(node)(node, state)
    return state.graph(outputs, name)


def _converter(node: Node) -> Converter:
    found = STANDARD.get(node.op_type) if node.is_standard else None
    if node.is_channels_last:
        found = CHANNELS_LAST.get(node.op_type)
    if found is None:
        raise refuse_operation(node, STANDARD)
    return found
