"""qonnx's own executor, on the file as it is, with the batch dimension widened."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..qonnx_import import SUFFIX
from .base import Arrays, Executor, Job, Runner, float32_obstacle, missing, named_tensors
from .batching import batched_model
from .slips import float32_sums_and_ties


def start(job: Job) -> Runner:
    """Prepare a file; what runs it gives every tensor that the graph knows.

    qonnx builds an onnxruntime session for each node of each call, so that one call with many
    samples is hundreds of times faster than many calls.
    """
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    prepared: dict[int, Any] = {}
    names = named_tensors(job.graph)

    def run(inputs: Arrays) -> Arrays:
        batch = len(next(iter(inputs.values())))
        if batch not in prepared:
            model = batched_model(job.model_path, job.graph, batch)
            prepared[batch] = ModelWrapper(model).transform(InferShapes())
        with warnings.catch_warnings():
            # Harmless here: dynamic shapes that qonnx cannot infer beforehand.
            warnings.filterwarnings("ignore", message="Output shapes disagree")
            context = execute_onnx(prepared[batch], inputs, return_full_exec_context=True)
        return {
            name: found for name in names if (found := _channels_first(context, name)) is not None
        }

    return run


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
    lambda job: missing("qonnx") or float32_obstacle(job),
    errs=float32_sums_and_ties,
)
