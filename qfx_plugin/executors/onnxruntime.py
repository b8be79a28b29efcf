"""onnxruntime as an executor: the QONNX file rewritten to standard nodes; see `qonnx.qcdq`."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper, shape_inference

from .base import Arrays, Executor, Job, Runner, missing, named_tensors, unnamed_casts
from .batching import batched_model
from .float64 import in_float64, in_pieces, needs_float64, obstacle

_INTEGERS = ("ArgMax", "ArgMin")


def start(job: Job) -> Runner:
    """Prepare a file; what runs it gives every tensor that the graph knows.

    Raises:
        ExportError: the file has no exact form in QCDQ, and why.
    """
    import onnxruntime

    from brevitas_quantizers.qonnx.qcdq import to_qcdq

    sessions: dict[int, Any] = {}
    names, wide = named_tensors(job.graph), needs_float64(job.graph)

    def prepare(batch: int) -> Any:
        model = to_qcdq(batched_model(job.model_path, job.graph, batch), wide=True)
        if wide:
            model = in_float64(shape_inference.infer_shapes(model, data_prop=True))
        shown = {value.name for value in model.graph.output}
        made = {name: node.op_type for node in model.graph.node for name in node.output}
        number = TensorProto.DOUBLE if wide else TensorProto.FLOAT
        for name in names:
            if name in made and name not in shown:
                kind = TensorProto.INT64 if made[name] in _INTEGERS else number
                model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
        return onnxruntime.InferenceSession(
            model.SerializeToString(), _options(), providers=["CPUExecutionProvider"]
        )

    prepare(1)  # what has no exact form is said at once

    def run(inputs: Arrays) -> Arrays:
        batch = len(next(iter(inputs.values())))
        session = sessions.setdefault(batch, sessions.get(batch) or prepare(batch))
        shown = [value.name for value in session.get_outputs()]
        return dict(zip(shown, session.run(shown, inputs), strict=True))

    return in_pieces(run, job.graph) if wide else run


def _options() -> Any:
    """Node by node: fused integer kernels of some CPUs add pairs of products in 16 bits."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return options


EXECUTOR = Executor(
    "onnxruntime",
    "onnxruntime",
    start,
    lambda job: missing("onnxruntime") or unnamed_casts(job) or obstacle(job),
)
