"""A plan as a FINN model, and the execution of FINN models on codes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper

from ..errors import VerificationError
from ..ir import FixedTensor
from . import adapter
from .contract import METADATA_KEY, Contract
from .lowering.plan import GENERAL, HARDWARE, FinnPlan, FinnTensor, PlannedNode

OPSET = 13


def build(plan: FinnPlan) -> Any:
    """The plan as a qonnx `ModelWrapper`; every tensor carries shape, layout and integer type.

    Raises:
        ToolMissingError: FINN is not installed.
    """
    wrapper = adapter.module("qonnx.core.modelwrapper").ModelWrapper
    types = adapter.module("qonnx.core.datatype").DataType
    layouts = adapter.module("qonnx.core.data_layout")
    interface = (*plan.inputs, *plan.outputs)
    graph = helper.make_graph(
        [_node(node) for node in plan.nodes],
        "qfx_dataflow",
        [_info(plan.tensors[name]) for name in plan.inputs],
        [_info(plan.tensors[name]) for name in plan.outputs],
        value_info=[_info(t) for name, t in plan.tensors.items() if name not in interface],
    )
    opsets = [
        helper.make_opsetid("", OPSET),
        helper.make_opsetid(GENERAL, 1),
        helper.make_opsetid(HARDWARE, 1),
    ]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="qfx")
    model.ir_version = 8
    result = wrapper(model)
    for name, values in plan.constants.items():
        result.set_initializer(name, values)
    for name, datatype in plan.datatypes.items():
        result.set_tensor_datatype(name, types[datatype])
    for tensor in plan.tensors.values():
        result.set_tensor_datatype(tensor.name, types[tensor.datatype])
        layout = layouts.NHWC if len(tensor.shape) == 3 else layouts.NC
        result.set_tensor_layout(tensor.name, layout)
    for name, kernel in plan.depthwise.items():
        result.set_tensor_sparsity(name, {"dw": {"kernel_shape": list(kernel)}})
    result.set_metadata_prop(METADATA_KEY, plan.contract.to_json())
    return result


def read(path: Path) -> Any:
    """A FINN model from a file.

    Raises:
        ToolMissingError: FINN is not installed.
    """
    return adapter.module("qonnx.core.modelwrapper").ModelWrapper(str(path))


def execute(
    model: Any, values: Mapping[str, ArrayLike], contract: Contract | None = None
) -> dict[str, FixedTensor]:
    """Run a FINN model, at any step, on float inputs of the original network.

    Args:
        model: a qonnx `ModelWrapper`.
        values: (batch, *shape) by name of the network's input.
        contract: meaning of the streams; by default what the model carries.

    Returns:
        (batch, *shape) codes with their binary points, by name of the network's output.

    Raises:
        TargetError: FINN cannot execute a node.
        VerificationError: an output is no integer.
    """
    contract = contract or Contract.from_json(model.get_metadata_prop(METADATA_KEY))
    model = as_python(model)
    streams = contract.encode(values)
    names = [tensor.name for tensor in model.graph.input]
    outputs = [tensor.name for tensor in model.graph.output]
    collected: list[list[NDArray[np.int64]]] = [[] for _ in outputs]
    shapes = [tuple(model.get_tensor_shape(name)) for name in names]
    for index in range(len(streams[0])):
        feed = {
            name: stream[index].astype(np.float32).reshape(shape)
            for name, stream, shape in zip(names, streams, shapes, strict=True)
        }
        context = _run(model, feed)
        for name, parts in zip(outputs, collected, strict=True):
            parts.append(_codes(name, context[name]))
    ports = contract.outputs
    return tensors(
        contract,
        [
            np.array(parts, dtype=np.int64).reshape(len(parts), *port.stream_shape)
            for parts, port in zip(collected, ports, strict=True)
        ],
    )


def tensors(contract: Contract, streams: list[NDArray[np.int64]]) -> dict[str, FixedTensor]:
    """What the codes of each output stream mean, by the name of the network's output."""
    codes = contract.decode(streams)
    return {
        port.name: FixedTensor.of_channels(codes[port.name], port.frac_bits)
        for port in contract.outputs
    }


def _run(model: Any, feed: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Every tensor of one sample: qonnx's `execute_onnx`, but for checks of the model each time."""
    run = adapter.module("qonnx.core.onnx_exec").execute_node
    versions = {entry.domain: entry.version for entry in model.model.opset_import}
    context: dict[str, NDArray[Any]] = {**model.make_empty_exec_context(), **feed}
    for node in model.graph.node:
        layer = node.doc_string or node.output[0]
        with adapter.guarded(f"layer {layer!r} ({node.op_type} {node.name!r})"):
            run(node, context, model.graph, versions.get(node.domain, OPSET))
    return context


def as_python(model: Any) -> Any:
    """The model with every unit in its Python form; the model itself if it has no other.

    FINN's specialised units run as C++ or RTL simulation only, unless they are set to simulate:
    then they stay as they are. Their abstract forms take the same attributes and tensors.
    """
    if not any(_is_specialised(node) for node in model.graph.node):
        return model
    copied = copy.deepcopy(model)
    for node in copied.graph.node:
        if _is_specialised(node):
            node.op_type = node.op_type.rpartition("_")[0]
            node.domain = node.domain.rpartition(".")[0]
    return copied


def _is_specialised(node: onnx.NodeProto) -> bool:
    mode = next((a.s for a in node.attribute if a.name == "exec_mode"), b"")
    simulated = {f"{HARDWARE}.rtl": (b"rtlsim",), f"{HARDWARE}.hls": (b"rtlsim", b"cppsim")}
    return node.domain in simulated and mode not in simulated[node.domain]


def _codes(name: str, array: NDArray[Any]) -> NDArray[np.int64]:
    codes: NDArray[Any] = np.rint(array)
    if not np.array_equal(codes, array):
        raise VerificationError(f"output {name!r} holds {array[codes != array][0]}, no integer")
    return codes.astype(np.int64)


def _node(node: PlannedNode) -> onnx.NodeProto:
    attributes = {key: value for key, value in node.attributes.items() if key != "qfx_node"}
    proto = helper.make_node(
        node.kind,
        list(node.inputs),
        list(node.outputs),
        name=node.name,
        domain=node.domain or None,
        **attributes,
    )
    proto.doc_string = str(node.attributes.get("qfx_node", ""))
    return proto


def _info(tensor: FinnTensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, [1, *tensor.shape])
