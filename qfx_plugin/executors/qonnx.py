"""qonnx's own executor, on the file as it is, with the batch dimension widened."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..qonnx_import import SUFFIX
from .base import Arrays, Executor, Job, Runner, missing, named_tensors, unnamed_casts
from .batching import QUANT_NAMES, batched_model
from .float64 import in_float64, in_pieces, needs_float64, obstacle


def start(job: Job) -> Runner:
    """Prepare a file; what runs it gives every tensor that the graph knows.

    qonnx builds an onnxruntime session for each node of each call, so that one call with many
    samples is hundreds of times faster than many calls.
    """
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    prepared: dict[int, Any] = {}
    names, wide = named_tensors(job.graph), needs_float64(job.graph, slips=True)
    kept = {*names, *(name.removesuffix(SUFFIX) for name in names)}

    def prepare(batch: int) -> Any:
        model = ModelWrapper(batched_model(job.model_path, job.graph, batch))
        model = model.transform(InferShapes())
        return in_float64(model.model) if wide else model

    def run(inputs: Arrays) -> Arrays:
        batch = len(next(iter(inputs.values())))
        model = prepared.setdefault(batch, prepared.get(batch) or prepare(batch))
        with warnings.catch_warnings():
            # Harmless here: dynamic shapes that qonnx cannot infer beforehand.
            warnings.filterwarnings("ignore", message="Output shapes disagree")
            if wide:
                context = _execute_in_float64(model, inputs, kept)
            else:
                context = execute_onnx(model, inputs, return_full_exec_context=True)
        return {
            name: found for name in names if (found := _channels_first(context, name)) is not None
        }

    return in_pieces(run, job.graph) if wide else run


def _execute_in_float64(model: onnx.ModelProto, inputs: Arrays, kept: set[str]) -> Arrays:
    """As `execute_onnx`, which rounds the result of each Quant node to float32.

    Args:
        model: the network in float64.
        inputs: by name.
        kept: tensors that are wanted; others go when they are read for the last time.
    """
    from qonnx.core.onnx_exec import execute_node
    from qonnx.custom_op.general.intquant import int_quant
    from qonnx.custom_op.registry import getCustomOp

    graph = model.graph
    values = {v.name: v for v in (*graph.input, *graph.value_info, *graph.output)}
    for tensor in graph.initializer:
        given = (tensor.name, tensor.data_type, tensor.dims)
        values[tensor.name] = helper.make_tensor_value_info(*given)
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    context: dict[str, Any] = {t.name: numpy_helper.to_array(t) for t in graph.initializer} | inputs
    context[""] = None  # what a node leaves out
    last = {name: index for index, node in enumerate(graph.node) for name in node.input}
    for index, node in enumerate(graph.node):
        if node.op_type in QUANT_NAMES:
            own = getCustomOp(node)
            how = [own.get_nodeattr(name) for name in ("signed", "narrow", "rounding_mode")]
            found = int_quant(*(context[name] for name in node.input), *how)
            context[node.output[0]] = np.asarray(found)  # of a constant, NumPy makes a scalar
        else:  # with no more of the graph than the node's own tensors, which qonnx looks through
            known = [values[n] for n in {*node.input, *node.output} if n in values]
            context |= {name: np.empty(0) for name in node.output}
            own = helper.make_graph([], "node", [], [], value_info=known)
            execute_node(node, context, own, opsets.get(node.domain, opsets[""]))
        for name in {*node.input}.difference(kept, [""]):
            if last[name] == index:
                del context[name]
    return context


def _channels_first(context: Arrays, name: str) -> NDArray[Any] | None:
    """A tensor of the graph in qonnx's results, which may have its channels last."""
    if name in context:
        return context[name]
    last = context.get(name.removesuffix(SUFFIX))
    return None if last is None else np.moveaxis(last, -1, 1)


EXECUTOR = Executor(
    "qonnx",
    "qonnx",
    start,
    lambda job: missing("qonnx") or unnamed_casts(job) or obstacle(job),
)
