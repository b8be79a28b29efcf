"""Whether C++ sources that are handed over are complete: headers and weight files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ...errors import TargetError

VENDOR_HEADERS = frozenset(
    (
        "ap_axi_sdata.h",
        "ap_fixed.h",
        "ap_int.h",
        "ap_shift_reg.h",
        "hls_math.h",
        "hls_stream.h",
        "utils/x_hls_utils.h",
    )
)
"""What Vitis HLS brings itself."""

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
_WEIGHTS = re.compile(r'load_weights_from_txt<[^>]*>\([^,]+,\s*"([^"]+)"\)')


def check_includes(sources: Iterable[Path], root: Path) -> int:
    """Follow every `#include "..."`; returns the number of files reached.

    Args:
        sources: C++ files.
        root: folder that is searched beside that of the including file.

    Raises:
        TargetError: a header, or a file of weights, is missing.
    """
    todo, seen = list(sources), set()
    while todo:
        path = todo.pop().resolve()
        if path in seen:
            continue
        seen.add(path)
        text = path.read_text(encoding="utf-8", errors="replace")
        for name in _INCLUDE.findall(text):
            found = [folder / name for folder in (path.parent, root, root / "firmware")
                     if (folder / name).is_file()]  # fmt: skip
            if found:
                todo.append(found[0])
            elif name not in VENDOR_HEADERS:
                raise TargetError(f"{path.name}: includes {name!r}, which is not handed over")
        for name in _WEIGHTS.findall(text):
            if not (path.parent / "weights" / name).is_file():
                raise TargetError(f"{path.name}: reads weights {name!r}, which are not handed over")
    return len(seen)
