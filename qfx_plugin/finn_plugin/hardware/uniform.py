"""Equal units under one name, so that what tools keep by content is found for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

NAME = "unit"
"""What the top module is called then."""


def under_one_name(files: Sequence[Path], top: str, folder: Path) -> tuple[list[Path], str]:
    """A unit's files with its name replaced, where they were generated for it.

    Args:
        files: Verilog and memories of one unit.
        top: its name; files that were generated for it begin with it.
        folder: for the copies; made if missing.

    Returns:
        The files in their order, and the name of the top module: `NAME`, or `top` where a file
        names another by its place, which must stay.
    """
    texts = {path: path.read_text() for path in files if path.name.startswith(top)}
    if not texts or any(f"/{top}" in text for text in texts.values()):
        return list(files), top
    folder.mkdir(parents=True, exist_ok=True)
    result = []
    for path in files:
        if path in texts:
            path, text = folder / path.name.replace(top, NAME), texts[path]
            path.write_text(text.replace(top, NAME))
        result.append(path)
    return result, NAME
