"""Programs that run a QONNX network, as a table: what `verify` compares with the interpreter.

Each one is started once and then called with batches. A later target adds a line to the table.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from .ir import Constant, FixedType, Graph

Arrays: TypeAlias = dict[str, NDArray[Any]]
Runner: TypeAlias = Callable[[Arrays], Arrays]

FLOAT32_BITS = 24
FLOAT64_BITS = 53


@dataclass(frozen=True, eq=False)
class Job:
    """What an executor is given.

    Attributes:
        model_path: the QONNX file.
        graph: the same network as the interpreter runs it.
        work_dir: an empty folder for generated files.
        torch_model: the network that the file was exported from, if the caller has it.
    """

    model_path: Path
    graph: Graph
    work_dir: Path
    torch_model: Any = None


@dataclass(frozen=True)
class Executor:
    """One row of the table.

    Attributes:
        name: how users call it.
        package: distribution whose version is reported.
        start: prepares a job; the result maps float input batches to float tensors by name,
            outputs at least.
        obstacle: why it cannot run this job exactly, or None.
    """

    name: str
    package: str
    start: Callable[[Job], Runner]
    obstacle: Callable[[Job], str | None]

    @property
    def version(self) -> str:
        """Name and version of the package, `"... not installed"` if it is absent."""
        try:
            return f"{self.package} {metadata.version(self.package)}"
        except metadata.PackageNotFoundError:
            return f"{self.package} not installed"


def _too_wide(job: Job, bits: int, kind: str) -> str | None:
    needed = job.graph.float_bits()
    if needed <= bits:
        return None
    return f"out of {kind} range: a sum may need {needed} bits, {kind} is exact to {bits}"


def _missing(package: str) -> str | None:
    return None if util.find_spec(package) else f"package {package} is not installed"


def _torch_obstacle(job: Job) -> str | None:
    if job.torch_model is None:
        return "no torch model was given"
    return _too_wide(job, FLOAT64_BITS, "float64")


def _start_torch(job: Job) -> Runner:
    """The module itself in eval mode; a float64 copy where float32 sums would round."""
    import torch

    model = copy.deepcopy(job.torch_model).cpu().eval()
    wide = job.graph.float_bits() > FLOAT32_BITS
    dtype = torch.float64 if wide else torch.float32
    model = model.to(dtype)

    def run(inputs: Arrays) -> Arrays:
        operands = [torch.tensor(inputs[op.output], dtype=dtype) for op in job.graph.inputs]
        with torch.no_grad():
            result = model(*operands)
        many = isinstance(result, (tuple, list)) and not hasattr(result, "value")
        results = list(result) if many else [result]
        tensors = [getattr(tensor, "value", tensor) for tensor in results]
        return {
            name: tensor.numpy() for name, tensor in zip(job.graph.outputs, tensors, strict=True)
        }

    return run


def _start_qonnx(job: Job) -> Runner:
    """qonnx's own executor on the model as it is, with the batch dimension widened."""
    from qonnx.core.onnx_exec import execute_onnx

    prepared: dict[int, Any] = {}
    names = [
        op.output
        for op in job.graph.ops
        if isinstance(job.graph.types()[op.output], FixedType) and not isinstance(op, Constant)
    ]

    def run(inputs: Arrays) -> Arrays:
        batch = len(next(iter(inputs.values())))
        if batch not in prepared:
            prepared[batch] = batched_qonnx(job.model_path, job.graph, batch)
        with warnings.catch_warnings():
            # Harmless here: dynamic shapes that qonnx cannot infer beforehand.
            warnings.filterwarnings("ignore", message="Output shapes disagree")
            context = execute_onnx(prepared[batch], inputs, return_full_exec_context=True)
        return {name: context[name] for name in names if name in context}

    return run


def batched_qonnx(model_path: Path, graph: Graph, batch: int) -> Any:
    """A `ModelWrapper` of the file for `batch` samples at once; tensor names stay.

    qonnx builds an onnxruntime session for each node of each call, so that one call with many
    samples is hundreds of times faster than many calls.
    """
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    model = onnx.load(str(model_path), load_external_data=False)
    _rename_quant_domain(model)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    for value in [*model.graph.input, *model.graph.output]:
        if value.name not in initializers and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    _free_batch_in_reshapes(model, set(graph.types()))
    return ModelWrapper(model).transform(InferShapes())


def _rename_quant_domain(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type in ("Quant", "IntQuant"):
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


def _hls4ml_obstacle(job: Job) -> str | None:
    if len(job.graph.inputs) != 1 or len(job.graph.outputs) != 1:
        return "the hls4ml executor runs networks with one input and one output"
    return _missing("hls4ml")


def _start_hls4ml(job: Job) -> Runner:
    """hls4ml's C simulation of the generated project."""
    from .hls4ml_backend import convert

    simulation = convert(job.model_path, job.work_dir / "hls4ml", io_type="auto")
    (source,), (output,) = (op.output for op in job.graph.inputs), job.graph.outputs
    shape = job.graph.types()[output].shape

    def run(inputs: Arrays) -> Arrays:
        result = np.asarray(simulation.predict(inputs[source]))
        return {output: result.reshape(len(inputs[source]), *shape)}

    return run


EXECUTORS: dict[str, Executor] = {
    executor.name: executor
    for executor in (
        Executor("torch", "torch", _start_torch, _torch_obstacle),
        Executor(
            "qonnx",
            "qonnx",
            _start_qonnx,
            lambda job: _missing("qonnx") or _too_wide(job, FLOAT32_BITS, "float32"),
        ),
        Executor("hls4ml", "hls4ml", _start_hls4ml, _hls4ml_obstacle),
    )
}
"""The executors by name, in the order of the design flow."""
