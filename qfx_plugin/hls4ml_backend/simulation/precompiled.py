"""The headers of every C simulation, compiled once for all projects.

Reading hls4ml's headers takes a good second, as long as a small network itself. GNU compilers can
keep what they know after them in a file. The first project that is compiled with certain headers,
compiler and flags only leaves a note; the second makes the file, and all later ones use it. Where
that fails, or with another compiler, the same headers are read as text: the same library.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...errors import TargetError
from ...tools import compiler
from ...tools.cache import cache_dir

FOLDER = Path(__file__).parent / "templates"
HEADER = FOLDER / "qfx_simulation.h"
SOURCES = tuple(sorted(FOLDER.glob("*.h")))

OF_THE_PROJECT = "nnet_code_gen.h"
"""The one file of `nnet_utils` that differs from project to project."""

KEPT = 3
"""Compiled headers in the cache, 100 MB each; the ones not used for longest go first."""


def include_dirs(firmware: Path, flags: Sequence[str]) -> list[Path]:
    """Where the compiler shall look for headers.

    Args:
        firmware: folder of that name in a project.
        flags: options of the compiler, the same for the headers as for the project.
    """
    plain = plain_dirs(firmware)
    if "clang" in compiler.version().lower():
        return plain
    try:
        return [*_compiled(firmware, flags, plain), *plain]
    except OSError:  # no cache that can be written to
        return plain


def plain_dirs(firmware: Path) -> list[Path]:
    """Where the headers are as text."""
    return [firmware / "ap_types", firmware, FOLDER]


def _compiled(firmware: Path, flags: Sequence[str], plain: list[Path]) -> list[Path]:
    """The folder of the compiled header, if there is one."""
    folder = cache_dir() / "hls4ml" / _key(firmware, flags)
    compiled = folder / f"{HEADER.name}.gch"
    if not compiled.exists():
        if not _second_time(folder):
            return []
        try:
            compiler.precompile_header(HEADER, compiled, include_dirs=plain, flags=flags)
        except TargetError:  # the text of the error comes with the project itself
            return []
        _forget_old(folder.parent)
    os.utime(compiled)
    return [folder]


def _second_time(folder: Path) -> bool:
    """Whether another project asked before; of several processes, one gets the answer yes."""
    note = folder / "wanted"
    try:
        note.unlink()
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        note.touch()
        return False
    return True


def _key(firmware: Path, flags: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{compiler.require()} {compiler.version()} {flags}".encode())
    headers = [path for path in firmware.glob("nnet_utils/*.h") if path.name != OF_THE_PROJECT]
    headers += [path for path in firmware.glob("ap_types/**/*") if path.is_file()]
    for path in [*SOURCES, *sorted(headers)]:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _forget_old(folder: Path) -> None:
    compiled = sorted(folder.glob("*/*.gch"), key=lambda path: path.stat().st_mtime)
    for path in compiled[:-KEPT]:
        shutil.rmtree(path.parent, ignore_errors=True)
