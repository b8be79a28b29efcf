"""Options from a file: the same names and rules as the flags, which win over it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_NOT_IN_FILES = {"help", "config", "verbose"}


class _File(argparse._StoreAction):
    """The flag `--config` of commands whose flags are their options (those of a build are not)."""


def add_option(parser: argparse.ArgumentParser) -> None:
    """Declare `--config` for a command whose flags can stand in a file."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", action=_File,
        help="options from a .yaml, .json or .toml file, by the names of the flags with _ for -, "
        "at the top or under the command's name; flags win over it",
    )  # fmt: skip


def read_settings(arguments: Sequence[str], root: argparse.ArgumentParser) -> None:
    """Make a file's values the defaults of the command, before its flags are read.

    Raises:
        OptionError: an unknown name, or a value that the flag would refuse.
        DataError: the file cannot be read.
    """
    path = path_in(arguments)
    parser = None if path is None else _command(arguments, root)
    if path is None or parser is None:
        return
    from qfx_plugin.config import load

    command = parser.prog.split()[-1]
    table = load(path)
    where = f"{path}"
    if command in table:
        table, where = _table(table[command], f"{path}: {command}"), f"{path}: {command}"
    flags = {action.dest: action for action in parser._actions if action.dest not in _NOT_IN_FILES}
    for name, value in table.items():
        action = _known(str(name), flags, where)
        parser.set_defaults(**{action.dest: _value(action, value, f"{where}: {name}")})
        action.required = False


def path_in(arguments: Sequence[str]) -> Path | None:
    """The file that `--config` names on a command line, or None."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config", type=Path)
    try:
        found: Path | None = finder.parse_known_args(arguments)[0].config
    except argparse.ArgumentError:
        return None  # the real parser will say so
    return found


def _command(
    arguments: Sequence[str], root: argparse.ArgumentParser
) -> argparse.ArgumentParser | None:
    (commands,) = (a for a in root._actions if isinstance(a, argparse._SubParsersAction))
    parser = next((commands.choices[word] for word in arguments if word in commands.choices), None)
    takes_one = parser is not None and any(isinstance(a, _File) for a in parser._actions)
    return parser if takes_one else None


def _table(value: Any, where: str) -> dict[str, Any]:
    from qfx_plugin.errors import OptionError

    if not isinstance(value, Mapping):
        raise OptionError(f"{where} must be a table of names and values, not {value!r}")
    return dict(value)


def _known(name: str, flags: Mapping[str, argparse.Action], where: str) -> argparse.Action:
    from qfx_plugin.config import unknown
    from qfx_plugin.errors import OptionError

    if name in flags:
        return flags[name]
    raise OptionError(f"{where}: {unknown(name, list(flags), 'option')}")


def _value(action: argparse.Action, value: Any, where: str) -> Any:
    """As the flag would give it."""
    from qfx_plugin.errors import OptionError

    if action.nargs == 0:
        if not isinstance(value, bool):
            raise OptionError(f"{where} must be true or false, not {value!r}")
        return value
    if action.nargs == "+":
        if not isinstance(value, list) or not value:
            raise OptionError(f"{where} must be a list, not {value!r}")
        return [_one(action, entry, where) for entry in value]
    if isinstance(value, list):
        value = ",".join(map(str, value))  # a shape
    return _one(action, value, where)


def _one(action: argparse.Action, value: Any, where: str) -> Any:
    from qfx_plugin.errors import OptionError

    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise OptionError(f"{where} must be a text or a number, not {value!r}")
    try:
        typed = value if action.type is None else action.type(str(value))  # type: ignore[operator]
    except (argparse.ArgumentTypeError, ValueError) as error:
        text = error if isinstance(error, argparse.ArgumentTypeError) else f"not {value!r}"
        raise OptionError(f"{where}: {text}") from error
    if action.choices is not None and typed not in action.choices:
        choices = ", ".join(map(str, action.choices))
        raise OptionError(f"{where} must be one of {choices}, not {value!r}")
    return typed
