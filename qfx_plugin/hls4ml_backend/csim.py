"""C simulation: compile the generated project and call it from NumPy, on all processors.

hls4ml's own build script takes `-O3` and reads the same headers twice; ours compiles the same files
as one, faster, and gives the library a name made from their content, so that an unchanged project
is not compiled again and a changed one is never confused with a library already loaded.

The generated functions keep state in static variables. Each thread therefore loads a copy of the
library of its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import TargetError
from ..tools import compiler

FLAGS = ("-O1", "-std=c++17", "-fno-exceptions")
"""Least time for compiling and running together: `-O0` runs 30 times as long, `-O3` compiles 1.3
times as long for a tenth off the run."""

STACK_BYTES = 512 << 20
"""Address space for the stack of a simulation: the latency strategy keeps all products on it."""

MIN_SECONDS = 0.02
"""Work below which one thread does it all."""

_seconds: dict[str, float] = {}
"""Processor time of one sample in each library, as last seen."""

_MANY = """
extern "C" void {project}_many(const double *x, double *y, size_t samples, size_t inputs,
                               size_t outputs) {{
    for (size_t i = 0; i < samples; i++)
        {project}_double(const_cast<double *>(x + i * inputs), y + i * outputs);
}}
"""

_PROBE = """
import ctypes, sys, threading
library, function, inputs, outputs, stack = sys.argv[1:]
x, y = (ctypes.c_double * int(inputs))(), (ctypes.c_double * int(outputs))()
threading.stack_size(int(stack))
thread = threading.Thread(target=lambda: getattr(ctypes.CDLL(library), function)(x, y))
thread.start()
thread.join()
"""


class CSimulation:
    """A compiled project.

    Args:
        folder: output folder of the project, as hls4ml wrote it.
        project: its name, which is also the name of the top function.
        input_size: numbers in one sample.
        output_size: numbers in one result.

    Raises:
        ToolMissingError: no C++ compiler is installed.
        TargetError: the compiler reports an error, or the simulation aborts.
    """

    def __init__(self, folder: Path, project: str, input_size: int, output_size: int) -> None:
        self.library = build_library(folder, project)
        self._project, self._output_size = project, output_size
        probe(self.library, f"{project}_double", input_size, output_size)

    def run(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(samples, inputs) float64, C order. Returns (samples, outputs) float64."""
        return run_library(str(self.library), self._project, x, self._output_size)


def run_library(
    library: str, project: str, x: NDArray[np.float64], output_size: int
) -> NDArray[np.float64]:
    """Call a compiled project for many samples, on all processors.

    Args:
        library: path of the library.
        project: name of the top function.
        x: (samples, inputs) float64.
        output_size: numbers in one result.
    """
    x = np.ascontiguousarray(x, dtype=np.float64)
    y = np.empty((len(x), output_size))
    threads = max(1, min(_processors(), len(x)))
    if _seconds.get(library, MIN_SECONDS) * len(x) < MIN_SECONDS:
        threads = 1
    bounds = np.linspace(0, len(x), threads + 1).astype(int)
    functions = [_function(library, project, index) for index in range(threads)]

    def job(index: int) -> None:
        first, end = bounds[index], bounds[index + 1]
        part, result = x[first:end], y[first:end]
        addresses = part.ctypes.data, result.ctypes.data
        functions[index](*addresses, len(part), x.shape[1], output_size)

    if len(x):
        start = time.perf_counter()
        _run_threads(job, threads)
        _seconds[library] = (time.perf_counter() - start) * threads / len(x)
    return y


def build_library(folder: str | Path, project: str) -> Path:
    """Compile the project in `folder`; reuse the library if the sources have not changed."""
    folder = Path(folder)
    library = folder / "firmware" / f"{project}-{_digest(folder, project)}.so"
    if library.exists():
        return library
    bridge = folder / f"{project}_bridge.cpp"
    whole = folder / f"{project}_csim.cpp"
    text = f'#include "firmware/{project}.cpp"\n#include "{bridge.name}"\n'
    single = f"void {project}_double(" in bridge.read_text() and _is_single(bridge, project)
    whole.write_text(text + (_MANY.format(project=project) if single else ""))
    return compiler.compile_shared(
        [whole],
        library,
        include_dirs=[folder / "firmware" / "ap_types"],
        defines={"WEIGHTS_DIR": f'"{(folder / "firmware" / "weights").resolve()}"'},
        flags=_flags(),
    )


def probe(library: Path, function: str, input_size: int, output_size: int) -> None:
    """Run one sample of zeros in a process of its own: a failed C assertion ends the process.

    Raises:
        TargetError: it did; the text holds the assertion.
    """
    arguments = [str(library), function, str(input_size), str(output_size), str(STACK_BYTES)]
    command = [sys.executable, "-I", "-S", "-c", _PROBE, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == -signal.SIGSEGV:
        raise TargetError(
            f"C simulation of {library.name} ends the process: segmentation fault; the latency "
            "strategy keeps all products of a layer on the stack: use strategy='resource'"
        )
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise TargetError(f"C simulation of {library.name} ends the process: {lines[-1]}")


@lru_cache(maxsize=64)
def _function(library: str, project: str, index: int) -> Callable[..., None]:
    """The batch function from the copy of the library that thread `index` owns.

    A library that is loaded needs its file no longer.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{project}-{index}.so"
        shutil.copyfile(library, copy)
        function = getattr(ctypes.CDLL(str(copy)), f"{project}_many")
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_size_t] * 3]
    function.restype = None
    return function


def _run_threads(job: Callable[[int], None], count: int) -> None:
    """Run `job(0)` to `job(count - 1)` side by side, each with a large stack."""
    before = threading.stack_size(STACK_BYTES)
    try:
        threads = [threading.Thread(target=job, args=(index,)) for index in range(count)]
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(before)
    for thread in threads:
        thread.join()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _flags() -> tuple[str, ...]:
    """GNU compilers unite the static variables of all copies of a library, unless told not to."""
    return FLAGS if "clang" in compiler.version().lower() else (*FLAGS, "-fno-gnu-unique")


def _is_single(bridge: Path, project: str) -> bool:
    """Whether the top function has one input and one output."""
    text = bridge.read_text().split(f"void {project}_double(")[1]
    return text.split(")")[0].count("double ") == 2


def _digest(folder: Path, project: str) -> str:
    digest = hashlib.sha256(f"{compiler.version()} {_flags()} {folder.resolve()}".encode())
    firmware = folder / "firmware"
    files = [*firmware.glob("*.cpp"), *firmware.glob("*.h"), *firmware.glob("nnet_utils/*.h")]
    files += [*firmware.glob("weights/*"), folder / f"{project}_bridge.cpp"]
    for path in sorted(files):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
