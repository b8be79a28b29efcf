"""C simulation: compile the generated project and call it from NumPy, on all processors.

hls4ml's own build script takes `-O3` and reads the same headers twice; ours compiles the same files
as one, after headers that are compiled once for all projects (`precompiled.py`), and gives the
library a name made from their content, so that an unchanged project is not compiled again and a
changed one is never confused with a library already loaded.

The generated functions keep state in static variables. Each thread therefore loads a copy of the
library of its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import TargetError
from ...tools import compiler, process
from . import precompiled

FLAGS = ("-std=c++17", "-fno-exceptions")
LEVELS = {False: "-O1", True: "-Og"}
"""Optimisation for many samples, and for few. `-O1` takes least time for compiling and running
together: `-O0` runs 30 times as long, `-O3` compiles 1.3 times as long for a tenth off the run."""

GNU_FLAGS = ("-fno-gnu-unique", "--param=ggc-min-heapsize=400000")
"""GNU compilers unite the static variables of all copies of a library, unless told not to; and
collect the garbage in their memory, of which there is enough, a few times a second."""

STACK_BYTES = 512 << 20
"""Address space for the stack of a simulation: the latency strategy keeps all products on it."""

MIN_SECONDS = 0.02
"""Work below which one thread does it all."""

_seconds: dict[str, float] = {}
"""Processor time of one sample in each library, as last seen."""

_WHOLE = """\
#include "qfx_simulation.h"
static const char *qfx_weights_dir() {{ return {weights}; }}
#include "firmware/{project}.cpp"
#include "{bridge}"
extern "C" const char *qfx_fault() {{ return qfx_stream_fault; }}
"""

_MANY = """
extern "C" void {project}_many(const double *x, double *y, size_t samples, size_t inputs,
                               size_t outputs) {{
    for (size_t i = 0; i < samples; i++) {{
        const double *from = x + i * inputs;
        double *to = y + i * outputs;
        {project}_double({arguments});
    }}
}}
"""

_CONVERTED = re.compile(r"convert_data<[^;]*, ([^<>,;]+)>\((\w+), (\w+)\)")
"""Of the bridge: how many numbers go from one place to the other."""

_PROBE = """
import ctypes, sys, threading
library, function, inputs, outputs, stack = sys.argv[1:]
x, y = (ctypes.c_double * int(inputs))(), (ctypes.c_double * int(outputs))()
sizes = [ctypes.c_size_t(int(size)) for size in (1, inputs, outputs)]
threading.stack_size(int(stack))
thread = threading.Thread(target=lambda: getattr(ctypes.CDLL(library), function)(x, y, *sizes))
thread.start()
thread.join()
"""


class CSimulation:
    """A compiled project.

    Args:
        folder: output folder of the project, as hls4ml wrote it.
        project: its name, which is also the name of the top function.
        input_size: numbers in one sample, of all inputs.
        output_size: numbers in one result, of all outputs.
        quick: see `build_library`.

    Raises:
        ToolMissingError: no C++ compiler is installed.
        TargetError: the compiler reports an error, or the simulation aborts.
    """

    def __init__(
        self, folder: Path, project: str, input_size: int, output_size: int, quick: bool = False
    ) -> None:
        self.library = build_library(folder, project, quick)
        self._project, self._output_size = project, output_size
        probe(self.library, f"{project}_many", input_size, output_size)

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

    Raises:
        TargetError: a stream held more or fewer elements than its reader took.
    """
    x = np.ascontiguousarray(x, dtype=np.float64)
    y = np.empty((len(x), output_size))
    threads = max(1, min(_processors(), len(x)))
    if _seconds.get(library, MIN_SECONDS) * len(x) < MIN_SECONDS:
        threads = 1
    bounds = np.linspace(0, len(x), threads + 1).astype(int)
    loaded = [_load(library, index) for index in range(threads)]
    functions = [_function(one, project) for one in loaded]

    def job(index: int) -> None:
        first, end = bounds[index], bounds[index + 1]
        part, result = x[first:end], y[first:end]
        addresses = part.ctypes.data, result.ctypes.data
        functions[index](*addresses, len(part), x.shape[1], output_size)

    if len(x):
        start = time.perf_counter()
        _run_threads(job, threads)
        _seconds[library] = (time.perf_counter() - start) * threads / len(x)
    for one in loaded:
        check_streams(one, project)
    return y


def check_streams(library: ctypes.CDLL, project: str) -> None:
    """Whether every stream of a simulation was empty in the end and never read while empty.

    Raises:
        TargetError: one was not, so that results are wrong; the text names the first.
    """
    fault = library.qfx_fault
    fault.restype = ctypes.c_char_p
    if text := fault().decode():
        raise TargetError(
            f"C simulation of {project}: stream {text}, so that its results are wrong: the "
            "layers at its ends count its words differently; use io_type='io_parallel'"
        )


def build_library(folder: str | Path, project: str, quick: bool = False) -> Path:
    """Compile the project in `folder`; reuse the library if the sources have not changed.

    Args:
        folder: output folder of the project, as hls4ml wrote it.
        project: its name.
        quick: optimise less, for a few hundred samples; the same numbers.
    """
    folder = Path(folder)
    flags = _flags(quick)
    library = folder / "firmware" / f"{project}-{_digest(folder, project, flags)}.so"
    if library.exists():
        return library
    bridge = folder / f"{project}_bridge.cpp"
    firmware = folder / "firmware"
    whole = folder / f"{project}_csim.cpp"
    weights = json.dumps(str((firmware / "weights").resolve()), ensure_ascii=False)
    text = _WHOLE.format(project=project, bridge=bridge.name, weights=weights)
    text += _MANY.format(project=project, arguments=_arguments(bridge, project))
    whole.write_text(text, encoding="utf-8")
    return precompiled.compile_shared(whole, library, firmware, flags)


def probe(library: Path, function: str, input_size: int, output_size: int) -> None:
    """Run one sample of zeros in a process of its own: a failed C assertion ends the process.

    Raises:
        TargetError: it did; the text holds the assertion.
    """
    arguments = [str(library), function, str(input_size), str(output_size), str(STACK_BYTES)]
    command = [sys.executable, "-I", "-S", "-c", _PROBE, *arguments]
    result = process.run(command)
    if result.returncode == -signal.SIGSEGV:
        raise TargetError(
            f"C simulation of {library.name} ends the process: segmentation fault; the latency "
            "strategy keeps all products of a layer on the stack: use strategy='resource'"
        )
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise TargetError(f"C simulation of {library.name} ends the process: {lines[-1]}")


@lru_cache(maxsize=64)
def _load(library: str, index: int) -> ctypes.CDLL:
    """The copy of the library that thread `index` owns.

    A library that is loaded needs its file no longer.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"{Path(library).stem}-{index}.so"
        shutil.copyfile(library, copy)
        return ctypes.CDLL(str(copy))


def _function(library: ctypes.CDLL, project: str) -> Callable[..., None]:
    """The batch function."""
    function: Any = getattr(library, f"{project}_many")
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_size_t] * 3]
    function.restype = None
    many: Callable[..., None] = function
    return many


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


def _flags(quick: bool) -> tuple[str, ...]:
    flags = (LEVELS[quick], *FLAGS)
    return flags if "clang" in compiler.version().lower() else (*flags, *GNU_FLAGS)


def _arguments(bridge: Path, project: str) -> str:
    """Of the bridge's function, in C++: inputs one behind the other in `from`, outputs in `to`."""
    text = bridge.read_text().split(f"void {project}_double(")[1].split("\n}\n")[0]
    names = re.findall(r"double \*(\w+)", text.split(")")[0])
    found = {name: f"({size})" for size, *pair in _CONVERTED.findall(text) for name in pair}
    sizes = [found[name] for name in names]
    before = [" + ".join(sizes[:index]) or "0" for index in range(len(sizes))]
    return ", ".join(
        f"{at} < inputs ? const_cast<double *>(from + ({at})) : to + ({at}) - inputs"
        for at in before
    )


def _digest(folder: Path, project: str, flags: tuple[str, ...]) -> str:
    digest = hashlib.sha256(f"{compiler.version()} {flags} {folder.resolve()}".encode())
    firmware = folder / "firmware"
    files = [*firmware.glob("*.cpp"), *firmware.glob("*.h"), *firmware.glob("nnet_utils/*.h")]
    files += [*firmware.glob("weights/*"), folder / f"{project}_bridge.cpp"]
    files += precompiled.SOURCES
    for path in sorted(files):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
