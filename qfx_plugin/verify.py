"""Agreement of executors, code by code: the integer interpreter against everything that can run.

    print(verify("model.onnx", images, torch_model=model))

Two tensors are equal when every value is the same multiple of the tensor's LSB. A value that is
no multiple of it counts as differing and is shown as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray

from brevitas_quantizers.fixed_point import FixedPointFormat

from .agreement import Agreement, Difference, ExecutorAgreement, TensorAgreement
from .config import checked_keywords
from .errors import DataError, OptionError, one_line
from .executors import EXECUTORS, Executor, Job, Runner
from .ir import FixedTensor, FixedType, Graph, interpret
from .ir.compare import SHOWN_DIFFERENCES, Tally, compare_codes
from .ir.inputs import as_array, as_float32, check_inputs
from .ir.interpreter import chunk_size
from .qonnx_import import load_qonnx

__all__ = [
    "Agreement",
    "Difference",
    "ExecutorAgreement",
    "TensorAgreement",
    "compare_codes",
    "verify",
]

MAX_CHUNK = 512
"""Most samples that an executor gets at once."""

Found: TypeAlias = "FixedTensor | NDArray[Any]"

CHUNK_ELEMENTS = 1 << 26
"""Fewer samples at once where all tensors would have more elements (0.25 GiB an executor)."""


@checked_keywords
def verify(
    model: Any,
    inputs: Mapping[str, ArrayLike] | Sequence[ArrayLike] | ArrayLike,
    torch_model: Any = None,
    executors: Sequence[str | Executor] | None = None,
    *,
    limits: Mapping[str, int] | None = None,
    input_formats: Mapping[str, FixedPointFormat | str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Agreement:
    """Run the network everywhere and compare every code with the integer interpreter.

    PyTorch is compared at the outputs and at each of its quantizers, the others at every tensor.

    Args:
        model: path of a QONNX file, an `onnx.ModelProto`, or a trained `torch.nn.Module`, which is
            then exported into a temporary folder.
        inputs: (samples, *shape) values: one array, several in the order of the file, or by name:
            the file's, or those of the arguments of the torch model. Rounded to float32 first, so
            that all executors see the same numbers; integers must be exact there.
        torch_model: the `torch.nn.Module` that a file was exported from; it is copied, not
            changed.
        executors: names in `EXECUTORS`, or `Executor` objects; all of the table that run by
            default if None.
        limits: at most so many samples for an executor, by its name (C simulation is slow).
        input_formats: see `load_qonnx`; inputs are cast to them for every executor.
        outputs: see `load_qonnx`.

    Returns:
        What was compared, what differs, and what was not run and why. An executor that raises
        anything at all was not run.

    Raises:
        DataError: inputs with wrong names, shapes or values.
        OptionError: an executor's name is unknown, or `model` is none of the three.
        ExportError: the module has no exact form in QONNX.
        ModelFileError, UnsupportedModelError: the file cannot be read as exact fixed point.
    """
    if executors is None:
        executors = [executor for executor in EXECUTORS.values() if executor.by_default]
    chosen = [_executor(entry) for entry in executors]
    limit = _checked_limits(limits or {}, chosen)
    with TemporaryDirectory(prefix="qfx-verify-") as folder:
        path, torch_model, given = _as_file(model, inputs, torch_model, Path(folder))
        source = model if isinstance(model, onnx.ModelProto) else path
        graph = load_qonnx(source, input_formats=input_formats, outputs=outputs)
        arrays = as_float32(check_inputs(graph, _by_name(graph, given, torch_model)))
        for name, fmt in (input_formats or {}).items():
            made = FixedPointFormat.parse(fmt) if isinstance(fmt, str) else fmt
            arrays[name] = np.asarray(made.quantize(arrays[name]), dtype=np.float32)
        job = Job(path, graph, Path(folder), torch_model)
        trials = [
            _Trial(executor, job, limit.get(executor.name, executor.samples)) for executor in chosen
        ]
        seconds = _compare_chunks(graph, arrays, trials)
    samples = len(next(iter(arrays.values())))
    results = tuple(trial.result(graph) for trial in trials)
    return Agreement(graph.name, samples, seconds, results)


class _Trial:
    """One executor while chunks pass by."""

    def __init__(self, executor: Executor, job: Job, limit: int | None) -> None:
        self.executor, self.job, self.limit = executor, job, limit
        self.seconds = 0.0
        self.tally = Tally()
        self.missing: dict[str, None] = {}
        self.runner: Runner | None = None
        self.failed: str | None = None
        self.failed = self._guarded(lambda: executor.obstacle(job)) or self.failed

    @property
    def samples(self) -> int:
        """Inputs compared."""
        return self.tally.samples

    def run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, Found]:
        """The executor's tensors for one chunk; none if it cannot run or has run enough."""
        size = len(next(iter(inputs.values())))
        room = size if self.limit is None else min(size, self.limit - self.samples)
        if self.failed is not None or room <= 0:
            return {}
        start = time.perf_counter()
        # Copies: what it may do to its inputs must not reach the others.
        own = {name: array[:room].copy() for name, array in inputs.items()}
        results = self._guarded(lambda: self._results(own))
        self.seconds += time.perf_counter() - start
        if results is None:
            return {}
        self.missing |= {name: None for name in self.job.graph.outputs if name not in results}
        return {name: self._checked(name, got, room) for name, got in results.items()}

    def compare(self, results: Mapping[str, Found], expected: Mapping[str, FixedTensor]) -> None:
        """Count what differs in some samples of a chunk; `results` may end before `expected`."""
        size = max((len(_array(got)) for got in results.values()), default=0)
        for name, got in results.items():
            exact = _some(expected[name], slice(size))
            self.tally.count(name, exact, compare_codes(exact, got))
        self.tally.samples += size

    def result(self, graph: Graph) -> ExecutorAgreement:
        """The row of the report, tensors in the graph's order."""
        order = {op.output: index for index, op in enumerate(graph.ops)}
        tensors = tuple(sorted(self.tally.tensors.values(), key=lambda tensor: order[tensor.name]))
        first = sorted(self.tally.first, key=lambda d: (order[d.tensor], d.sample))
        return ExecutorAgreement(
            self.executor.name,
            self.executor.version,
            self.samples,
            tensors,
            tuple(first[:SHOWN_DIFFERENCES]),
            self.seconds,
            self._reason(),
        )

    def _reason(self) -> str | None:
        """Why not all that was given is compared, or None."""
        if self.failed is not None:
            begun = f"stopped after {self.samples:,} samples: " if self.samples else ""
            return begun + self.failed
        if self.limit is not None and self.limit < 1:
            return f"its limit is {self.limit} samples"
        if self.missing:
            return f"it returned nothing of {', '.join(map(repr, self.missing))}"
        return None

    def _results(self, inputs: dict[str, NDArray[Any]]) -> dict[str, Found]:
        self.runner = self.runner or self.executor.start(self.job)
        return dict(self.runner(inputs) or {})

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """Whatever a foreign program raises is the reason why it does not run."""
        try:
            return call()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - panics of native code are no Exception
            self.failed = one_line(error, typed=True)
            return None

    def _checked(self, name: str, got: Any, samples: int) -> Found:
        """One tensor that was returned.

        Raises:
            DataError: the network has no such tensor, or it holds no numbers for every sample.
        """
        who, kind = f"executor {self.executor.name} returned", self.job.graph.types().get(name)
        if not isinstance(kind, FixedType):
            raise DataError(f"{who} {name!r}, which is no tensor of the network")
        found: Found = got if isinstance(got, FixedTensor) else np.asarray(got)
        array = _array(found)
        if array.dtype.kind not in "fiub":
            raise DataError(f"{who} no numbers for {name!r}, but {array.dtype}")
        if array.shape[:1] != (samples,):
            raise DataError(f"{who} shape {array.shape} of {name!r} for {samples} samples")
        return found


def _compare_chunks(graph: Graph, arrays: dict[str, NDArray[Any]], trials: list[_Trial]) -> float:
    """Executors in chunks, the interpreter in its own smaller ones; the latter's seconds.

    Codes of all tensors are many; in small pieces they are compared while still in the cache.
    """
    names = [name for name, kind in graph.types().items() if isinstance(kind, FixedType)]
    samples, seconds = len(next(iter(arrays.values()))), 0.0
    elements = sum(math.prod(graph.types()[name].shape) for name in names)
    size = max(1, min(MAX_CHUNK, CHUNK_ELEMENTS // max(1, elements)))
    step = min(size, chunk_size(graph))
    for begin in range(0, samples, size):
        chunk = {name: array[begin : begin + size] for name, array in arrays.items()}
        results = [trial.run(chunk) for trial in trials]
        for first in range(0, min(size, samples - begin), step):
            part = slice(first, first + step)
            start = time.perf_counter()
            expected = interpret(graph, {n: a[part] for n, a in chunk.items()}, keep=names)
            seconds += time.perf_counter() - start
            for trial, result in zip(trials, results, strict=True):
                left = {name: _part(found, part) for name, found in result.items()}
                trial.compare(left, expected)
    return seconds


def _executor(entry: str | Executor) -> Executor:
    if isinstance(entry, Executor):
        return entry
    return EXECUTORS.find(entry)


def _checked_limits(limits: Mapping[str, int], chosen: Sequence[Executor]) -> dict[str, int]:
    known = dict.fromkeys((*(executor.name for executor in chosen), *EXECUTORS.names()))
    for name, limit in limits.items():
        if name not in known:
            raise OptionError(f"limits must be of {', '.join(known)}, not {name!r}")
        if isinstance(limit, bool) or not isinstance(limit, int | np.integer):
            raise OptionError(f"limits of {name} must be a number of samples, not {limit!r}")
    return dict(limits)


def _array(found: Found) -> NDArray[Any]:
    return found.codes if isinstance(found, FixedTensor) else found


def _some(tensor: FixedTensor, samples: slice) -> FixedTensor:
    return FixedTensor(tensor.codes[samples], tensor.frac_bits)


def _part(found: Found, samples: slice) -> Found:
    return _some(found, samples) if isinstance(found, FixedTensor) else found[samples]


def _by_name(graph: Graph, inputs: Any, torch_model: Any) -> Any:
    """Inputs by the file's names, if they were given by those of a module's arguments."""
    names = [op.output for op in graph.inputs]
    if not isinstance(inputs, Mapping) or torch_model is None or set(inputs) == set(names):
        return inputs
    from .executors import torch as torch_host

    order = torch_host.arguments(torch_model)[: len(names)]
    return {names[order.index(n)] if n in order else n: array for n, array in inputs.items()}


def _as_file(
    model: Any, inputs: Any, torch_model: Any, folder: Path
) -> tuple[Path, Any, Mapping[str, ArrayLike] | ArrayLike]:
    """A file of the model, the module that it came from, and its inputs."""
    if isinstance(model, str | PathLike):
        return Path(model), torch_model, inputs
    path = folder / f"{type(model).__name__}.onnx"
    if isinstance(model, onnx.ModelProto):
        onnx.save(model, str(path))
        return path, torch_model, inputs
    from .executors import torch as torch_host

    given = torch_host.ordered(model, inputs)
    torch_host.export(model, [_first_sample(array) for array in given], path)
    return path, model, given


def _first_sample(given: Any) -> NDArray[Any]:
    array = as_array(given)
    if array.ndim == 0 or not len(array):
        raise DataError("inputs must hold at least one sample")
    return array[:1].astype(np.float32)
