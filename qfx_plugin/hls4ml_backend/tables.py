"""A configuration as a table, and as a YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError, one_line
from .config import QFX_SECTION

_COLUMNS = ("layer", "result", "weight", "bias", "accumulator", "strategy", "reuse", "cycles")


def format_config(config: Mapping[str, Any]) -> str:
    """A configuration as a table, one line per layer.

    The cycles are those of `rate.py`: reuse factor times pixels.
    """
    section = config.get("Model", {}).get(QFX_SECTION, {})
    pixels = section.get("pixels", {})
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for name, entry in config.get("LayerName", {}).items():
        rows.append(_row(name, entry, pixels.get(name)))
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([_headline(config, section), *lines])


def save_config(config: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a configuration as YAML."""
    import yaml

    Path(path).write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")


def load_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a configuration that `save_config` wrote, or one written by hand.

    Raises:
        DataError: the file is missing, is no YAML, or has no section `Model`.
    """
    import yaml

    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        cause = one_line(error)
        raise DataError(f"{path}: cannot be read as a configuration: {cause}") from error
    if not isinstance(config, dict) or not isinstance(config.get("Model"), dict):
        raise DataError(f"{path}: a configuration must have a section 'Model'")
    return config


def _headline(config: Mapping[str, Any], section: Mapping[str, Any]) -> str:
    facts = [str(section[key]) for key in ("Part", "IOType") if key in section]
    if "ClockPeriod" in section:
        facts.append(f"{section['ClockPeriod']:g} ns")
    cycles = [
        entry["ReuseFactor"] * section["pixels"][name]
        for name, entry in config.get("LayerName", {}).items()
        if name in section.get("pixels", {}) and "ReuseFactor" in entry
    ]
    if cycles and "ClockPeriod" in section:
        rate = 1e9 / section["ClockPeriod"] / max(cycles)
        facts.append(f"about {rate:.3g} samples per second")
    return ", ".join(facts) or "no project settings"


def _row(name: str, entry: Mapping[str, Any], pixels: int | None) -> tuple[str, ...]:
    types = entry.get("Precision") or {}
    if isinstance(types, str):
        types = {"result": types}
    factor = entry.get("ReuseFactor")
    cells = [types.get(key, "") for key in ("result", "weight", "bias")]
    cells.append(types.get("accum", types.get("wide", "")))
    cells += [entry.get("Strategy", ""), "" if factor is None else factor]
    cells.append("" if factor is None or pixels is None else factor * pixels)
    return (name, *(str(cell) for cell in cells))
