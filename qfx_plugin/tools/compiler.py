"""The C++ compiler (g++ or clang++) that builds C simulations."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import TargetError, ToolMissingError
from . import process

_CANDIDATES = ("g++", "clang++", "c++")


def find() -> str | None:
    """Path of the compiler: the environment variable `CXX` if set, else g++, clang++ or c++."""
    wanted = os.environ.get("CXX")
    names = (wanted,) if wanted else _CANDIDATES
    return next((path for name in names if (path := shutil.which(name))), None)


def available() -> bool:
    """Whether a C++ compiler is installed."""
    return find() is not None


def require() -> str:
    """Path of the compiler.

    Raises:
        ToolMissingError: none is installed; the text names the package to install.
    """
    path = find()
    if path is not None:
        return path
    wanted = os.environ.get("CXX")
    looked_for = f"CXX={wanted}" if wanted else ", ".join(_CANDIDATES)
    raise ToolMissingError(
        f"no C++ compiler found (looked for {looked_for}): install the package 'g++' (Debian, "
        "Ubuntu), 'gcc-c++' (Fedora) or the Xcode command line tools (macOS)"
    )


def version() -> str:
    """First line of the compiler's `--version`, such as `g++ (Debian 12.2.0-14) 12.2.0`.

    Raises:
        ToolMissingError: no compiler is installed.
    """
    result = subprocess.run(
        [require(), "--version"], capture_output=True, text=True, errors="replace", check=False
    )
    return result.stdout.partition("\n")[0].strip()


def compile_shared(
    sources: Sequence[Path],
    output: Path,
    *,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    flags: Sequence[str] = ("-O1",),
) -> Path:
    """Compile `sources` into the shared library `output`, in one step and atomically.

    Args:
        sources: C++ files.
        output: the library to write; it appears only when the compiler has succeeded.
        include_dirs: folders searched for headers.
        defines: preprocessor macros and their values.
        flags: optimisation and language options.

    Raises:
        ToolMissingError: no compiler is installed.
        TargetError: the compiler reports an error; the text holds the first one.
    """
    return _compile(sources, output, ["-shared"], include_dirs, defines, flags)


def compile_object(
    source: Path,
    output: Path,
    *,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    flags: Sequence[str] = ("-O1",),
) -> Path:
    """Compile `source` into the object file `output`; like `compile_shared`."""
    return _compile([source], output, ["-c"], include_dirs, defines, flags)


def compile_strictly(
    source: Path,
    output: Path,
    *,
    include_dirs: Sequence[Path] = (),
    system_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    flags: Sequence[str] = ("-O1",),
) -> Path:
    """Compile `source` into the object file `output`; any warning is an error.

    Headers in `system_dirs` are others': they may warn.
    """
    strict = ["-Wall", "-Wextra", "-Werror"]
    strict += [part for folder in system_dirs for part in ("-isystem", str(folder))]
    return _compile([source], output, ["-c"], include_dirs, defines, flags, strict)


def precompile_header(
    header: Path,
    output: Path,
    *,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    flags: Sequence[str] = ("-O1",),
) -> Path:
    """Write what a compiler of GNU knows after `header` into `output`; like `compile_shared`."""
    return _compile([header], output, ["-x", "c++-header"], include_dirs, defines, flags)


def link_program(objects: Sequence[Path], output: Path, libraries: Sequence[str] = ()) -> Path:
    """Link object files, and libraries of the system, into the program `output`."""
    return _compile([*objects, *(f"-l{name}" for name in libraries)], output, [], (), None, ())


def _compile(
    sources: Sequence[Path | str],
    output: Path,
    kind: Sequence[str],
    include_dirs: Sequence[Path],
    defines: Mapping[str, str] | None,
    flags: Sequence[str],
    warnings: Sequence[str] = ("-w",),
) -> Path:
    partial = output.with_name(f"{output.name}.{os.getpid()}.part")
    command = [require(), *flags, "-fPIC", *kind, *warnings]
    command += [f"-I{folder}" for folder in include_dirs]
    command += [f"-D{name}={value}" for name, value in (defines or {}).items()]
    command += [*map(str, sources), "-o", str(partial)]
    result = process.run(command)
    if result.returncode != 0:
        partial.unlink(missing_ok=True)
        raise TargetError(
            f"{Path(command[0]).name} could not compile {sources[0]}: {_first_error(result.stderr)}"
        )
    partial.replace(output)
    return output


def _first_error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
