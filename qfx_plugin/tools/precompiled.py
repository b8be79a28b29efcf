"""Headers that many compilations begin with, compiled once for all of them.

Reading a library's headers takes a good second, as long as a small program itself. GNU compilers
can keep what they know after them in a file. The first that asks for a header, with a compiler and
flags, only leaves a note; the second makes the file, and all later ones use it. Where that fails,
or with another compiler, the same header is read as text: the same program.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import TargetError
from . import compiler
from .cache import cache_dir

KEPT = 3
"""Compiled headers of a kind in the cache, 70 to 100 MB each; those not used for longest go."""


def folders(
    header: Path,
    kind: str,
    facts: Iterable[bytes],
    *,
    include_dirs: Sequence[Path],
    defines: Mapping[str, str] | None = None,
    flags: Sequence[str],
) -> list[Path]:
    """The folder of a compiled header, if there is one; it comes before all others.

    Args:
        header: what a program includes in its first line.
        kind: folder in the cache.
        facts: what the compiled header follows from, besides the compiler and the rest.
        include_dirs: folders searched for headers.
        defines: preprocessor macros and their values.
        flags: optimisation and language options, the same as for the program.
    """
    if "clang" in compiler.version().lower():
        return []
    digest = hashlib.sha256(f"{compiler.require()} {compiler.version()} {flags}".encode())
    digest.update(repr(sorted((defines or {}).items())).encode())
    for fact in facts:
        digest.update(fact)
    folder = cache_dir() / kind / digest.hexdigest()[:16]
    compiled = folder / f"{header.name}.gch"
    try:
        if not compiled.exists():
            if not _second_time(folder):
                return []
            compiler.precompile_header(
                header, compiled, include_dirs=include_dirs, defines=defines, flags=flags
            )
            _forget_old(folder.parent)
        os.utime(compiled)
    except (OSError, TargetError):
        # No cache that can be written to; or the text of the error comes with the program itself.
        return []
    return [folder]


def compile_shared(
    sources: Sequence[Path],
    output: Path,
    ready: Sequence[Path],
    *,
    include_dirs: Sequence[Path],
    defines: Mapping[str, str] | None = None,
    flags: Sequence[str],
) -> Path:
    """`compiler.compile_shared` with what `folders` has found, or without.

    Raises:
        ToolMissingError: no compiler is installed.
        TargetError: the compiler reports an error; the text holds the first one.
    """
    for first in (ready, ()) if ready else ((),):
        try:
            return compiler.compile_shared(
                sources, output, include_dirs=[*first, *include_dirs], defines=defines, flags=flags
            )
        except TargetError:  # the sources', or the compiler cannot load what it has kept
            if not first:
                raise
    raise AssertionError("unreachable: the last one returns or raises")


def _second_time(folder: Path) -> bool:
    """Whether another program asked before; of several processes, one gets the answer yes."""
    note = folder / "wanted"
    try:
        note.unlink()
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        note.touch()
        return False
    return True


def _forget_old(folder: Path) -> None:
    compiled = sorted(folder.glob("*/*.gch"), key=lambda path: path.stat().st_mtime)
    for path in compiled[:-KEPT]:
        shutil.rmtree(path.parent, ignore_errors=True)
