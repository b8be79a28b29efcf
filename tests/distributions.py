"""Other people's distributions: a module with entry points, installed outside of QFX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(
    folder: Path,
    name: str,
    source: str,
    entry_points: Mapping[str, Mapping[str, str]],
    version: str = "1.0",
) -> Path:
    """What `pip install --target FOLDER` leaves of a distribution with one module.

    Args:
        folder: to be put on the path.
        name: of the distribution and its module.
        source: text of the module.
        entry_points: by group, name to `module:attribute`.
        version: of the distribution.
    """
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder
