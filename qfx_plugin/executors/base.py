"""What an executor is: a program that runs a network, started once and called with batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any, TypeAlias

import onnx
from numpy.typing import NDArray

from ..errors import OptionError
from ..ir import Constant, FixedTensor, FixedType, Graph, Quantize
from ..qonnx_import import reader_of

Arrays: TypeAlias = dict[str, NDArray[Any]]
Results: TypeAlias = Mapping[str, "FixedTensor | NDArray[Any]"]
Runner: TypeAlias = Callable[[Arrays], Results]
"""Float input batches to tensors by name, outputs at least: codes from a host that has integers,
floats from one that has only these. Floats are compared as they are; rounded to codes by the
executor, they would hide what is no code."""

FLOAT32_BITS, FLOAT64_BITS = 24, 53


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
        start: prepares a job; what it returns runs batches.
        obstacle: why it cannot run this job exactly, or None.
        samples: at most so many samples, unless the user says otherwise; None for all. For
            simulators that run one sample at a time.
        by_default: whether it runs without being named; one that takes minutes does not.
    """

    name: str
    package: str
    start: Callable[[Job], Runner]
    obstacle: Callable[[Job], str | None]
    samples: int | None = None
    by_default: bool = True

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


def checked(name: str, found: Any) -> Executor:
    """What an entry point names, if it is an executor of this name.

    Raises:
        OptionError: it is not.
    """
    if not isinstance(found, Executor):
        raise OptionError(f"must be an Executor, not {type(found).__name__}")
    if found.name != name:
        raise OptionError(f"must have the name of its entry point, not {found.name!r}")
    return found


def missing(package: str) -> str | None:
    """An obstacle: a package is not there."""
    return None if util.find_spec(package) else f"package {package} is not installed"


def too_wide(job: Job, bits: int, kind: str) -> str | None:
    """An obstacle: sums that a float type would round."""
    needed = job.graph.float_bits()
    if needed <= bits:
        return None
    return f"out of {kind} range: a sum may need {needed} bits, {kind} is exact to {bits}"


def unnamed_casts(job: Job) -> str | None:
    """An obstacle: casts that an executor of the standard attributes does not know."""
    model = onnx.load(str(job.model_path), load_external_data=False)
    signed = any(isinstance(op, Quantize) and op.signed for op in job.graph)
    if reader_of(model) == "finn" and signed:
        return "the file is for FINN: its signed AP_RND casts have no name in QONNX"
    return None


def named_tensors(graph: Graph) -> list[str]:
    """What an executor that sees inside a network is compared at."""
    types = graph.types()
    return [
        op.output
        for op in graph.ops
        if isinstance(types[op.output], FixedType) and not isinstance(op, Constant)
    ]
