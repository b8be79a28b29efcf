"""Agreement of executors, code by code: the integer interpreter against everything that can run.

    print(verify("model.onnx", images, torch_model=model))

Two tensors are equal when every value is the same multiple of the tensor's LSB. A value that is
no multiple of it counts as differing and is shown as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray

from brevitas_quantizers.fixed_point import FixedPointFormat

from .errors import DataError, OptionError, QfxError, VerificationError
from .executors import EXECUTORS, Executor, Job, Runner
from .ir import FixedTensor, FixedType, Graph, interpret
from .ir.exact import FLOAT64_EXACT, magnitude
from .ir.interpreter import chunk_size
from .qonnx_import import load_qonnx

MAX_CHUNK = 512
"""Most samples that an executor gets at once."""

CHUNK_ELEMENTS = 1 << 26
"""Fewer samples at once where all tensors would have more elements (0.25 GiB an executor)."""

SHOWN_DIFFERENCES = 5


@dataclass(frozen=True)
class Difference:
    """One code that differs from the interpreter's.

    Attributes:
        tensor: name of the tensor.
        sample: index of the input.
        position: index of the element within the sample's tensor.
        expected: the interpreter's integer code.
        got: the executor's value in LSBs; fractional if it is no code at all.
    """

    tensor: str
    sample: int
    position: tuple[int, ...]
    expected: int
    got: float

    def __str__(self) -> str:
        index = ", ".join(map(str, self.position))
        return (
            f"sample {self.sample}, {self.tensor}[{index}]: expected code {self.expected}, "
            f"got {self.got:.17g}"
        )


@dataclass(frozen=True)
class TensorAgreement:
    """One tensor of one executor.

    Attributes:
        name: name of the tensor.
        codes: codes compared.
        differing: codes that differ.
        differing_samples: inputs on which at least one code differs.
    """

    name: str
    codes: int = 0
    differing: int = 0
    differing_samples: int = 0


@dataclass(frozen=True)
class ExecutorAgreement:
    """One executor against the interpreter.

    Attributes:
        name: the executor.
        version: package and version.
        samples: inputs compared.
        tensors: the tensors compared, in the order of the network.
        first: the first differences, earliest tensor first.
        seconds: time of the executor alone, its preparation included.
        reason: why it was not run, or None if it was.
    """

    name: str
    version: str
    samples: int = 0
    tensors: tuple[TensorAgreement, ...] = ()
    first: tuple[Difference, ...] = ()
    seconds: float = 0.0
    reason: str | None = None

    @property
    def ran(self) -> bool:
        """Whether anything was compared."""
        return self.reason is None

    @property
    def codes(self) -> int:
        """Codes compared, of all tensors."""
        return sum(tensor.codes for tensor in self.tensors)

    @property
    def differing(self) -> int:
        """Codes that differ, of all tensors."""
        return sum(tensor.differing for tensor in self.tensors)

    @property
    def first_tensor(self) -> TensorAgreement | None:
        """The first tensor of the network that differs: where to look for the cause."""
        return next((tensor for tensor in self.tensors if tensor.differing), None)


@dataclass(frozen=True)
class Agreement:
    """All executors against the interpreter; index it by an executor's name.

    Attributes:
        model: name of the network.
        samples: inputs given.
        seconds: time of the interpreter.
        executors: one entry per executor asked for.
    """

    model: str
    samples: int
    seconds: float
    executors: tuple[ExecutorAgreement, ...] = field(default=())

    def __getitem__(self, name: str) -> ExecutorAgreement:
        for executor in self.executors:
            if executor.name == name:
                return executor
        raise KeyError(name)

    @property
    def agrees(self) -> bool:
        """Whether at least one executor ran, and none differs in any code."""
        ran = [executor for executor in self.executors if executor.ran]
        return bool(ran) and not any(executor.differing for executor in ran)

    def raise_if_different(self, required: Sequence[str] = ()) -> Agreement:
        """Return this object if all agree.

        Args:
            required: executors that must have run.

        Raises:
            VerificationError: a code differs, nothing was compared, or one of `required` did not
                run.
        """
        for name in required:
            if not self[name].ran:
                raise VerificationError(f"{self.model}: {name} was not run: {self[name].reason}")
        for executor in self.executors:
            if executor.differing:
                raise VerificationError(
                    f"{self.model}: {executor.name} differs from the interpreter in "
                    f"{executor.differing} of {executor.codes} codes; first: {executor.first[0]}"
                )
        if not self.agrees:
            raise VerificationError(f"{self.model}: no executor was run, nothing was compared")
        return self

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("executor", "version", "samples", "tensors", "codes", "differing", "seconds")
        ]
        rows += [_row(executor) for executor in self.executors]
        full = [row for row in rows if len(row) == len(rows[0])]
        widths = [
            max(len(row[i]) for row in (rows if i < 2 else full)) for i in range(len(rows[0]))
        ]
        table = [_format_row(row, widths) for row in rows]
        interpreter = f"{self.model}: interpreter, {self.samples} samples, {self.seconds:.2f} s"
        shown = [line for executor in self.executors for line in _difference_lines(executor)]
        return "\n".join([interpreter, *table, *shown])


def verify(
    model: Any,
    inputs: Mapping[str, ArrayLike] | ArrayLike,
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
        inputs: (samples, *shape) values, by name or as one array; rounded to float32 first, so
            that all executors see the same numbers.
        torch_model: the `torch.nn.Module` that a file was exported from; it is copied, not
            changed.
        executors: names in `EXECUTORS`, or `Executor` objects; all of the table that run by
            default if None.
        limits: at most so many samples for an executor, by its name (C simulation is slow).
        input_formats: see `load_qonnx`; inputs are cast to them for every executor.
        outputs: see `load_qonnx`.

    Returns:
        What was compared, what differs, and what was not run and why.

    Raises:
        OptionError: an executor's name is unknown, or `model` is none of the three.
        ExportError: the module has no exact form in QONNX.
        ModelFileError, UnsupportedModelError: the file cannot be read as exact fixed point.
    """
    usual = [name for name, executor in EXECUTORS.items() if executor.by_default]
    chosen = [_executor(entry) for entry in (usual if executors is None else executors)]
    with TemporaryDirectory(prefix="qfx-verify-") as folder:
        path, torch_model = _as_file(model, inputs, torch_model, Path(folder))
        source = model if isinstance(model, onnx.ModelProto) else path
        graph = load_qonnx(source, input_formats=input_formats, outputs=outputs)
        arrays = _as_float32(graph, inputs)
        for name, fmt in (input_formats or {}).items():
            made = FixedPointFormat.parse(fmt) if isinstance(fmt, str) else fmt
            arrays[name] = np.asarray(made.quantize(arrays[name]), dtype=np.float32)
        job = Job(path, graph, Path(folder), torch_model)
        limit = dict(limits or {})
        trials = [
            _Trial(executor, job, limit.get(executor.name, executor.samples)) for executor in chosen
        ]
        seconds = _compare_chunks(graph, arrays, trials)
    samples = len(next(iter(arrays.values())))
    results = tuple(trial.result(graph) for trial in trials)
    return Agreement(graph.name, samples, seconds, results)


def compare_codes(
    expected: FixedTensor, got: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Where `got` is not exactly `expected`, and `got` in LSBs.

    Args:
        expected: (batch, *shape) integer codes.
        got: float values of the same shape.
    """
    if got.shape != expected.codes.shape:
        raise DataError(
            f"executor returned shape {got.shape} where the interpreter has {expected.codes.shape}"
        )
    if np.all(np.abs(expected.frac_bits) <= 1000):  # one exact product is faster
        scaled = np.multiply(got, np.ldexp(1.0, expected.frac_bits), dtype=np.float64)
    else:
        scaled = np.ldexp(np.asarray(got, dtype=np.float64), expected.frac_bits)
    wrong = scaled != expected.codes
    if magnitude(expected.codes) > FLOAT64_EXACT:  # that rounded the codes to float64
        near = ~wrong & (np.abs(scaled) >= FLOAT64_EXACT)
        pairs = zip(scaled[near], expected.codes[near], strict=True)
        wrong[near] = [int(value) != int(code) for value, code in pairs]
    return wrong, scaled


class _Trial:
    """One executor while chunks pass by."""

    def __init__(self, executor: Executor, job: Job, limit: int | None) -> None:
        self.executor, self.job, self.limit = executor, job, limit
        self.seconds, self.samples = 0.0, 0
        self.counts: dict[str, TensorAgreement] = {}
        self.first: list[Difference] = []
        self.runner: Runner | None = None
        self.reason = executor.obstacle(job)

    def run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The executor's tensors for one chunk; none if it cannot run or has run enough."""
        size = len(next(iter(inputs.values())))
        room = size if self.limit is None else min(size, self.limit - self.samples)
        if self.reason is not None or room <= 0:
            return {}
        start = time.perf_counter()
        try:
            self.runner = self.runner or self.executor.start(self.job)
            results = self.runner({name: array[:room] for name, array in inputs.items()})
        except QfxError as error:
            self.reason = str(error)
            return {}
        finally:
            self.seconds += time.perf_counter() - start
        for name, got in results.items():
            if got.shape[:1] != (room,):
                where = f"shape {got.shape} of {name!r} for {room} samples"
                raise DataError(f"executor {self.executor.name} returned {where}")
        return results

    def compare(
        self, results: Mapping[str, NDArray[Any]], expected: dict[str, FixedTensor]
    ) -> None:
        """Count what differs in some samples of a chunk; `results` may end before `expected`."""
        for name, got in results.items():
            codes = expected[name].codes[: len(got)]
            self._count(name, FixedTensor(codes, expected[name].frac_bits), got)
        self.samples += max(map(len, results.values()), default=0)

    def result(self, graph: Graph) -> ExecutorAgreement:
        """The row of the report, tensors in the graph's order."""
        order = {op.output: index for index, op in enumerate(graph.ops)}
        tensors = tuple(sorted(self.counts.values(), key=lambda tensor: order[tensor.name]))
        first = sorted(self.first, key=lambda d: (order[d.tensor], d.sample))
        return ExecutorAgreement(
            self.executor.name,
            self.executor.version,
            self.samples,
            tensors,
            tuple(first[:SHOWN_DIFFERENCES]),
            self.seconds,
            self.reason,
        )

    def _count(self, name: str, expected: FixedTensor, got: NDArray[Any]) -> None:
        wrong, scaled = compare_codes(expected, got)
        before, differing = self.counts.get(name, TensorAgreement(name)), np.count_nonzero(wrong)
        samples = wrong.reshape(len(wrong), -1).any(axis=1).sum() if differing else 0
        self.counts[name] = TensorAgreement(
            name,
            before.codes + wrong.size,
            before.differing + int(differing),
            before.differing_samples + int(samples),
        )
        if not differing or before.differing >= SHOWN_DIFFERENCES:
            return
        for index in np.argwhere(wrong)[: SHOWN_DIFFERENCES - before.differing]:
            where = tuple(int(i) for i in index)
            sample, code = self.samples + where[0], int(expected.codes[where])
            self.first.append(Difference(name, sample, where[1:], code, float(scaled[where])))


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
                left = {name: array[part] for name, array in result.items() if first < len(array)}
                trial.compare(left, expected)
    return seconds


def _executor(entry: str | Executor) -> Executor:
    if isinstance(entry, Executor):
        return entry
    if entry not in EXECUTORS:
        raise OptionError(f"executor must be one of {', '.join(EXECUTORS)}, not {entry!r}")
    return EXECUTORS[entry]


def _as_float32(
    graph: Graph, inputs: Mapping[str, ArrayLike] | ArrayLike
) -> dict[str, NDArray[Any]]:
    if not isinstance(inputs, Mapping):
        inputs = {op.output: inputs for op in graph.inputs[:1]}
    arrays = {name: np.asarray(array, dtype=np.float32) for name, array in inputs.items()}
    if not arrays or min(array.shape[0] if array.ndim else 0 for array in arrays.values()) < 1:
        raise DataError("inputs must hold at least one sample")
    return arrays


def _as_file(
    model: Any, inputs: Mapping[str, ArrayLike] | ArrayLike, torch_model: Any, folder: Path
) -> tuple[Path, Any]:
    """A file of the model, and the module that it came from."""
    if isinstance(model, str | PathLike):
        return Path(model), torch_model
    path = folder / f"{type(model).__name__}.onnx"
    if isinstance(model, onnx.ModelProto):
        onnx.save(model, str(path))
        return path, torch_model
    from . import torch_host

    torch_host.export(model, _first_samples(inputs), path)
    return path, model


def _first_samples(
    inputs: Mapping[str, ArrayLike] | ArrayLike,
) -> list[NDArray[Any]]:
    """One sample of each input, in the order given."""
    given = inputs.values() if isinstance(inputs, Mapping) else [inputs]
    arrays = [np.asarray(array, dtype=np.float32)[:1] for array in given]
    if not arrays or any(array.ndim == 0 or not len(array) for array in arrays):
        raise DataError("inputs must hold at least one sample")
    return arrays


def _difference_lines(executor: ExecutorAgreement) -> list[str]:
    """Where an executor begins to differ, on how much, and the first values."""
    first = executor.first_tensor
    if first is None:
        return []
    head = (
        f"  {executor.name}: {first.name} is the first tensor that differs, in "
        f"{first.differing:,} of {first.codes:,} codes, on {first.differing_samples:,} of "
        f"{executor.samples:,} samples"
    )
    return [head, *(f"  {executor.name}: {difference}" for difference in executor.first)]


def _row(executor: ExecutorAgreement) -> tuple[str, ...]:
    if executor.reason is not None:
        return (executor.name, executor.version, f"not run: {executor.reason}")
    counts = (executor.samples, len(executor.tensors), executor.codes, executor.differing)
    return (
        executor.name,
        executor.version,
        *(f"{count:,}" for count in counts),
        f"{executor.seconds:.2f}",
    )


def _format_row(row: tuple[str, ...], widths: list[int]) -> str:
    names = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
    if len(row) == 3:
        return "  ".join([*names, row[2]])
    numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join([*names, *numbers])
