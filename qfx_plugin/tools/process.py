"""Programs that do not outlive whoever started them, however that ends: SIGTERM, SIGKILL, Ctrl-C.

Each is the head of a process group. A second process of the group waits for the end of a pipe that
only the starter holds, and then ends the group: also what the program has started itself.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_WATCHED = """\
exec 3<&0 </dev/null
( (read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 & )
exec "$@" 3<&-
"""
"""The one who waits is nobody's child, so that the program meets none it does not know."""


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
