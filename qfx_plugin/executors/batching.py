"""A QONNX file for many samples at once: float executors are far faster on batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from ..ir import Graph
from ..qonnx_import import CHANNELS_LAST_DOMAIN, SUFFIX

QUANT_NAMES = ("Quant", "IntQuant")


def batched_model(model_path: Path, graph: Graph, batch: int) -> onnx.ModelProto:
    """The file with its first dimension widened to `batch`; tensor names stay.

    Args:
        model_path: a file that `load_qonnx` has accepted.
        graph: what it returned.
        batch: samples in a call.
    """
    model = onnx.load(str(model_path), load_external_data=False)
    _rename_quant_domain(model)
    initializers = {tensor.name for tensor in model.graph.initializer}
    for value in [*model.graph.input, *model.graph.output]:
        if value.name not in initializers and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    _widen_shapes(model, graph, batch)
    _free_batch_in_reshapes(model, set(graph.types()))
    return model


def _widen_shapes(model: onnx.ModelProto, graph: Graph, batch: int) -> None:
    """Forget the shapes of tensors in between: qonnx infers them again.

    It cannot do so through its channels-last nodes, whose files get the shapes that we know.
    """
    del model.graph.value_info[:]
    if not any(node.domain == CHANNELS_LAST_DOMAIN for node in model.graph.node):
        return
    versions = {opset.domain: opset for opset in model.opset_import}
    if CHANNELS_LAST_DOMAIN not in versions:
        versions[CHANNELS_LAST_DOMAIN] = model.opset_import.add(domain=CHANNELS_LAST_DOMAIN)
    # qonnx takes this for the version of the standard node inside.
    versions[CHANNELS_LAST_DOMAIN].version = versions[""].version
    shapes = dict(_known_shapes(model, graph, batch))
    known = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        _turn_shape(node, shapes)
        for name in node.output:
            if name in shapes and name not in known:
                kind = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes[name])
                model.graph.value_info.append(kind)


def _known_shapes(
    model: onnx.ModelProto, graph: Graph, batch: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Shapes of quantized weights, and of the graph's tensors with the axes of the file."""
    for name, kind in graph.types().items():
        if name.endswith(SUFFIX):
            yield name.removesuffix(SUFFIX), (batch, *kind.shape[1:], kind.shape[0])
        else:
            yield name, (batch, *kind.shape)
    constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:  # last: a constant has no batch, in the graph it has
        if node.op_type in QUANT_NAMES and node.input[0] in constants:
            yield node.output[0], constants[node.input[0]]


def _turn_shape(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> None:
    """The shape behind a Transpose, which is no tensor of the graph."""
    if node.op_type == "Transpose" and node.input[0] in shapes:
        shape = shapes[node.input[0]]
        axes = next((a.ints for a in node.attribute if a.name == "perm"), range(len(shape))[::-1])
        shapes.setdefault(node.output[0], tuple(shape[axis] for axis in axes))


def _rename_quant_domain(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type in QUANT_NAMES:
            node.domain = "qonnx.custom_op.general"


def _free_batch_in_reshapes(model: onnx.ModelProto, tensors: set[str]) -> None:
    """Let Reshape nodes copy the batch (0) instead of naming the file's own batch size."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute:
            constants[node.output[0]] = node.attribute[0].t
    for index, node in enumerate(model.graph.node):
        target = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is None or node.output[0] not in tensors:
            continue
        shape = np.array(onnx.numpy_helper.to_array(target))
        if shape[0] > 0:
            shape[0] = 0
            name = f"{node.input[1]}:batch{index}"
            model.graph.initializer.append(onnx.numpy_helper.from_array(shape, name))
            node.input[1] = name
            for attribute in node.attribute:
                if attribute.name == "allowzero":
                    attribute.i = 0
