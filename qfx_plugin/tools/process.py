"""Programs that do not outlive whoever started them, however that ends: SIGTERM, SIGKILL, Ctrl-C.

Each is the head of a process group. A second process of the group waits for the end of a pipe that
only the starter holds, and then ends the group: also what the program has started itself.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TargetError

_WATCHED = """\
exec 3<&0 </dev/null
( (read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 & )
exec "$@" 3<&-
"""
"""The one who waits is nobody's child, so that the program meets none it does not know."""

_WASM_ROOM = 12.0
"""GB of address space that a WebAssembly runtime reserves and does not use."""

_POLL = 0.05
"""Seconds between looks at a running process."""

_NO_MEMORY = re.compile(
    r"bad_alloc|MemoryError|[Oo]ut of memory|Cannot allocate|failed to map|[Cc]annot create"
)


@dataclass(frozen=True)
class ToolLimits:
    """What a run may take.

    Attributes:
        timeout_s: wall-clock time in seconds.
        memory_gb: address space of each process, in GB.
        wasm: whether the program runs as WebAssembly, whose runtime reserves more.
    """

    timeout_s: float
    memory_gb: float
    wasm: bool = False


@dataclass(frozen=True)
class ToolRun:
    """What a run took.

    Attributes:
        seconds: wall-clock time.
        peak_gb: largest resident memory of a process of the run.
        log: everything that the program printed.
    """

    seconds: float
    peak_gb: float
    log: Path


@contextmanager
def group(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a program; at the end of the block its group is ended, if it is not yet.

    Args:
        command: path of the program, and its arguments. Its standard input is empty.
        options: of `subprocess.Popen`.
    """
    end, own = os.pipe()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHED, "sh", *command],
            stdin=end, start_new_session=True, **options,
        )  # fmt: skip
    except BaseException:
        os.close(own)
        raise
    finally:
        os.close(end)
    try:
        yield process
    finally:
        os.close(own)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()


def run(
    command: Sequence[str], *, timeout: float | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and capture what it prints.

    Args:
        command: path of the program, and its arguments.
        timeout: seconds after which it is ended.
        options: of `subprocess.Popen`.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with group(command, text=True, errors="replace", **pipes, **options) as process:
        out, error = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(command, process.returncode, out, error)


def run_limited(
    command: Sequence[str], folder: Path, log: Path, what: str, tool: str, limits: ToolLimits
) -> ToolRun:
    """Run a program in `folder` with limits on time and memory; all it prints goes to `log`.

    Args:
        command: path of the program, and its arguments.
        folder: working folder.
        log: file for all output.
        what: what is worked on, for messages.
        tool: name of the program, for messages.
        limits: on time and memory.

    Raises:
        TargetError: a limit was exceeded, or the program reports an error; the text holds the
            first one.
    """
    room = limits.memory_gb + (_WASM_ROOM if limits.wasm else 0)
    start = time.perf_counter()
    with log.open("wb") as output, group(
        command, cwd=folder, stdout=output, stderr=subprocess.STDOUT,
        preexec_fn=lambda: _limit(room),
    ) as running:  # fmt: skip
        status, peak = _wait(running, start + limits.timeout_s)
    if status is None:
        raise TargetError(f"{tool} did not finish {what} within {limits.timeout_s:g} s; see {log}")
    if status != 0:
        text = log.read_text(encoding="utf-8", errors="replace")
        raise TargetError(f"{tool} {_reason(text, status, what, limits.memory_gb)}; see {log}")
    return ToolRun(time.perf_counter() - start, peak, log)


def _wait(running: subprocess.Popen[bytes], deadline: float) -> tuple[int | None, float]:
    """Exit status, None past the deadline; and the peak of resident memory in GB."""
    while True:
        time.sleep(_POLL)
        pid, status, usage = os.wait4(running.pid, os.WNOHANG)
        if pid:
            running.returncode = os.waitstatus_to_exitcode(status)
            return running.returncode, usage.ru_maxrss / 2**20
        if time.perf_counter() > deadline:
            return None, 0.0


def _limit(memory_gb: float) -> None:
    size = int(memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _reason(text: str, status: int, what: str, memory_gb: float) -> str:
    if _NO_MEMORY.search(text):
        return f"needs more than {memory_gb:g} GB for {what}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    error = next((line for line in lines if "error:" in line.lower()), None)
    return f"rejects {what}: {error or (lines[-1] if lines else f'exit status {status}')}"
