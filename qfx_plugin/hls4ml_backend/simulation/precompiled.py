"""The headers of every C simulation, compiled once for all projects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...tools import precompiled

FOLDER = Path(__file__).parent / "templates"
HEADER = FOLDER / "qfx_simulation.h"
SOURCES = tuple(sorted(FOLDER.glob("*.h")))

OF_THE_PROJECT = "nnet_code_gen.h"
"""The one file of `nnet_utils` that differs from project to project."""


def compile_shared(source: Path, library: Path, firmware: Path, flags: Sequence[str]) -> Path:
    """Compile a project.

    Args:
        source: all of it; its first line includes `HEADER`.
        library: to write.
        firmware: folder of that name in the project.
        flags: options of the compiler.

    Raises:
        ToolMissingError: no compiler is installed.
        TargetError: the compiler reports an error.
    """
    plain = [firmware / "ap_types", firmware, FOLDER]
    ready = precompiled.folders(HEADER, "hls4ml", _facts(firmware), include_dirs=plain, flags=flags)
    return precompiled.compile_shared([source], library, ready, include_dirs=plain, flags=flags)


def _facts(firmware: Path) -> Iterator[bytes]:
    headers = [path for path in firmware.glob("nnet_utils/*.h") if path.name != OF_THE_PROJECT]
    headers += [path for path in firmware.glob("ap_types/**/*") if path.is_file()]
    for path in [*SOURCES, *sorted(headers)]:
        content = path.read_bytes()
        yield f"{path.name} {len(content)} ".encode()
        yield content
