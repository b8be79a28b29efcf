"""onnxruntime as an executor: the QONNX file rewritten to QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from brevitas_quantizers.qonnx.qcdq import to_qcdq

from ..ir import Constant, FixedType, Graph
from .batching import batched_model

Arrays = dict[str, NDArray[Any]]


def start(model_path: Path, graph: Graph) -> Callable[[Arrays], Arrays]:
    """Prepare a file; the result maps input batches to every tensor that the graph knows, too.

    Raises:
        ExportError: the file has no exact form in QCDQ, and why.
    """
    sessions: dict[int, onnxruntime.InferenceSession] = {}
    names = [
        op.output
        for op in graph.ops
        if isinstance(graph.types()[op.output], FixedType) and not isinstance(op, Constant)
    ]

    def prepare(batch: int) -> onnxruntime.InferenceSession:
        model = to_qcdq(batched_model(model_path, graph, batch))
        shown = {value.name for value in model.graph.output}
        made = {name for node in model.graph.node for name in node.output}
        for name in names:
            if name in made and name not in shown:
                kind = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
                model.graph.output.append(kind)
        return onnxruntime.InferenceSession(
            model.SerializeToString(), _options(), providers=["CPUExecutionProvider"]
        )

    prepare(1)  # what has no exact form is said at once

    def run(inputs: Arrays) -> Arrays:
        batch = len(next(iter(inputs.values())))
        session = sessions.setdefault(batch, sessions.get(batch) or prepare(batch))
        shown = [value.name for value in session.get_outputs()]
        return dict(zip(shown, session.run(shown, inputs), strict=True))

    return run


def _options() -> onnxruntime.SessionOptions:
    """Node by node: fused integer kernels of some CPUs add pairs of products in 16 bits."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return options
