"""What a user decides about a build: one file of options is the next build's input.

version: 1
target: hls4ml
board: ultra96-v2
clock_mhz: 187.5
hls4ml:
  io_type: io_stream
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..boards import Board, load_board
from ..config import as_table, check_name, from_text, load, read, save
from ..errors import OptionError
from .common import CommonOptions
from .flow import TARGETS, Target, find_target


@dataclass(frozen=True)
class BuildOptions:
    """All options of a build, checked.

    Attributes:
        common: those that every target has.
        settings: the target's own, an instance of its dataclass `OPTIONS`.
    """

    common: CommonOptions
    settings: Any

    @classmethod
    def parse(cls, table: Mapping[str, Any], where: str = "options") -> BuildOptions:
        """Options from a table such as a file holds; what is not given has its default.

        Raises:
            OptionError: an unknown name, or a value that breaks its rule.
        """
        table = dict(table)
        own = {name: table.pop(name) for name in TARGETS.names() if name in table}
        common = read(CommonOptions, table, where)
        target = find_target(common.target)
        for name in own:
            if name != target.name:
                raise OptionError(f"{where}: {name} holds options, but target is {target.name!r}")
        given = own.get(target.name) or {}
        if not isinstance(given, Mapping):
            raise OptionError(f"{where}: {target.name} must be a table, not {given!r}")
        settings: Any = read(target.options, given, f"{where}: {target.name}")
        options = cls(common, settings)
        options.load_board()
        return options

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BuildOptions:
        """Options from a `.yaml`, `.json` or `.toml` file."""
        return cls.parse(load(path), Path(path).name)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all options, defaults too, as YAML or JSON; `load` gives the same object."""
        return save(self.as_table(), path)

    def as_table(self) -> dict[str, Any]:
        """The table that `parse` reads."""
        return as_table(self.common) | {self.common.target: as_table(self.settings)}

    @property
    def target(self) -> Target:
        """The target, with its steps for the board."""
        return find_target(self.common.target).for_board(load_board(self.common.board))

    def load_board(self) -> Board:
        """The board.

        Raises:
            OptionError: it is unknown, or of a family that the target does not build for, the
                clock is out of its range, or an option of the target does not fit it (a target's
                options may have a method `check(board)`).
        """
        board = load_board(self.common.board)
        find_target(self.common.target).for_board(board)
        if self.common.clock_mhz is not None:
            board.clock.check(self.common.clock_mhz, f"clock_mhz of board {board.name}")
        if hasattr(self.settings, "check"):
            self.settings.check(board)
        return board

    @property
    def clock_mhz(self) -> float:
        """Clock of the logic in MHz, the board's default filled in."""
        return self.common.clock_mhz or self.load_board().clock.default_mhz

    @property
    def samples(self) -> int:
        """How many inputs are compared."""
        return self.common.samples

    @property
    def seed(self) -> int:
        """Seed of the random inputs."""
        return self.common.seed

    @property
    def inputs(self) -> str:
        """Files with inputs instead of random ones; empty for these."""
        return self.common.inputs

    def value(self, name: str) -> Any:
        """The value that decides a step's result, by the name of the option; plain data."""
        if name == "board":
            return as_table(self.load_board())
        if name == "clock_mhz":
            return self.clock_mhz
        if name == "inputs":
            return files_digest(self.common.inputs)
        for part in (self.common, self.settings):
            if name in {field.name for field in dataclasses.fields(part)}:
                return as_table(part)[name]
        raise OptionError(f"target {self.common.target!r} has no option {name!r}")


def files_digest(inputs: str) -> str:
    """What decides the inputs of a build: the bytes of their files, empty for random ones."""
    if not inputs:
        return ""
    digest = hashlib.sha256(inputs.encode())
    for path in (Path(inputs), *(Path(e.strip().partition("=")[2]) for e in inputs.split(","))):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def parse_assignment(target: str, text: str) -> tuple[str, Any]:
    """Name and value of a target's own option, from `name=value` of a command line.

    Raises:
        OptionError: no `=`, no such option, or no value of its type.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise OptionError(f"option must be NAME=VALUE, not {text!r}")
    options = find_target(target).options
    check_name(options, name, f"option of target {target}")
    return name, from_text(options, name, value)
