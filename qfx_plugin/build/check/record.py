"""Run a script for Vivado or Vitis HLS where neither is installed, and get the calls it makes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file
from pathlib import Path

from ...errors import TargetError
from ...tools import tcl
from ..render import template


@dataclass(frozen=True)
class Call:
    """One call of a vendor's command.

    Attributes:
        name: of the command.
        arguments: all that follow, as the command sees them.
    """

    name: str
    arguments: tuple[str, ...]

    def option(self, name: str) -> str | None:
        """The argument after `name`; `None` without."""
        if name not in self.arguments:
            return None
        place = self.arguments.index(name) + 1
        return self.arguments[place] if place < len(self.arguments) else None

    def __str__(self) -> str:
        return " ".join((self.name, *(part if part else "{}" for part in self.arguments)))


def record(
    script: Path, commands: Iterable[str], folder: Path, world: Mapping[str, object] | None = None
) -> tuple[Call, ...]:
    """The calls of `script`, run in `folder` with stand-ins for `commands`.

    Args:
        script: Tcl.
        commands: those that exist.
        folder: working folder.
        world: what the stand-ins find installed, see `templates/check/recorder.tcl`.

    Raises:
        TargetError: the script does not parse, calls an unknown command, or names a missing file.
    """
    names, path = folder / "commands.txt", folder / "record.txt"
    names.write_text("\n".join(sorted(commands)) + "\n", encoding="utf-8")
    with as_file(template("check/recorder.tcl")) as recorder:
        files_given = [names, path, script, *_written(world, folder)]
        tcl.run(recorder, *map(str, files_given), folder=folder, name=script.name)
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines:
        raise TargetError(f"{script.name} calls no command at all")
    return tuple(Call(name, tuple(rest)) for name, *rest in map(json.loads, lines))


def _written(world: Mapping[str, object] | None, folder: Path) -> list[Path]:
    if world is None:
        return []
    path = folder / "world.txt"
    path.write_text("\n".join(f"{name} {{{value}}}" for name, value in world.items()), "utf-8")
    return [path]
