"""Programs that run a QONNX network, as a table: what `verify` compares with the interpreter.

Each one is started once and then called with batches. A later target adds a line to the table.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from ..ir import Constant, FixedType, Graph, Quantize
from ..qonnx_import import SUFFIX, reader_of
from .batching import batched_model
from .slips import Slips, float32_ties

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
        samples: at most so many samples, unless the user says otherwise; None for all. For
            simulators that run one sample at a time.
        by_default: whether it runs without being named; one that takes minutes does not.
        errs: on which samples its own arithmetic is known to be wrong, so that they say nothing
            about the file; see `slips.py`.
    """

    name: str
    package: str
    start: Callable[[Job], Runner]
    obstacle: Callable[[Job], str | None]
    samples: int | None = None
    by_default: bool = True
    errs: Slips | None = None

    @property
    def version(self) -> str:
        """Name and version of the package, `"... not installed"` if it is absent."""
        try:
            return f"{self.package} {_version(self.package)}"
        except metadata.PackageNotFoundError:
            return f"{self.package} not installed"


@cache
def _version(package: str) -> str:
    return metadata.version(package)  # reads files: 10 ms


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
    from . import torch as torch_host

    wide = job.graph.float_bits() > FLOAT32_BITS
    return torch_host.start(job.torch_model, job.model_path, job.graph, wide)


def _float32_obstacle(job: Job) -> str | None:
    """Why a float32 executor of the standard attributes would not compute this network."""
    model = onnx.load(str(job.model_path), load_external_data=False)
    signed = any(isinstance(op, Quantize) and op.signed for op in job.graph)
    if reader_of(model) == "finn" and signed:
        return "the file is for FINN: its signed AP_RND casts have no name in QONNX"
    return _too_wide(job, FLOAT32_BITS, "float32")


def _start_qonnx(job: Job) -> Runner:
    """qonnx's own executor on the model as it is, with the batch dimension widened.

    It builds an onnxruntime session for each node of each call, so that one call with many
    samples is hundreds of times faster than many calls.
    """
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    prepared: dict[int, Any] = {}
    names = [
        op.output
        for op in job.graph.ops
        if isinstance(job.graph.types()[op.output], FixedType) and not isinstance(op, Constant)
    ]

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


def _start_onnxruntime(job: Job) -> Runner:
    """The file in QuantizeLinear, Clip and DequantizeLinear, at every tensor."""
    from . import onnxruntime as onnxruntime_host

    return onnxruntime_host.start(job.model_path, job.graph)


def _hls4ml_obstacle(job: Job) -> str | None:
    if len(job.graph.inputs) != 1 or len(job.graph.outputs) != 1:
        return "the hls4ml executor runs networks with one input and one output"
    return _missing("hls4ml")


def _start_hls4ml(job: Job) -> Runner:
    """hls4ml's C simulation of the generated project."""
    from ..hls4ml_backend import convert

    simulation = convert(job.model_path, job.work_dir / "hls4ml", io_type="auto")
    (source,), (output,) = (op.output for op in job.graph.inputs), job.graph.outputs
    shape = job.graph.types()[output].shape

    def run(inputs: Arrays) -> Arrays:
        result = np.asarray(simulation.predict(inputs[source]))
        return {output: result.reshape(len(inputs[source]), *shape)}

    return run


def _finn_obstacle(job: Job) -> str | None:
    from ..finn_plugin import executor

    return executor.obstacle(job.graph)


def _start_finn(job: Job) -> Runner:
    """FINN's Python execution of its hardware operations."""
    from ..finn_plugin import executor

    return executor.start(job.graph)


def _rtl_obstacle(job: Job) -> str | None:
    from ..tools import compiler, verilator

    if not verilator.available():
        return f"Verilator is not installed: {verilator.REMEDY}"
    if not compiler.available():
        return "no C++ compiler is installed"
    return _missing("alkaid")


def _start_rtl(job: Job) -> Runner:
    """Verilog of the whole network, simulated by Verilator."""
    from ..rtl.project import build_network

    network = build_network(job.graph)

    def run(inputs: Arrays) -> Arrays:
        return {name: tensor.values for name, tensor in network.run(inputs).items()}

    return run


EXECUTORS: dict[str, Executor] = {
    executor.name: executor
    for executor in (
        Executor("torch", "torch", _start_torch, _torch_obstacle),
        Executor(
            "qonnx",
            "qonnx",
            _start_qonnx,
            lambda job: _missing("qonnx") or _float32_obstacle(job),
            errs=float32_ties,
        ),
        Executor(
            "onnxruntime",
            "onnxruntime",
            _start_onnxruntime,
            lambda job: _missing("onnxruntime") or _float32_obstacle(job),
        ),
        Executor("hls4ml", "hls4ml", _start_hls4ml, _hls4ml_obstacle),
        Executor("finn", "finn-plus", _start_finn, _finn_obstacle, samples=16),
        Executor("rtl", "alkaid", _start_rtl, _rtl_obstacle, by_default=False),
    )
}
"""The executors by name, in the order of the design flow."""
