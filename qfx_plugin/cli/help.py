"""Help that names what is installed, which is looked for only when somebody asks for help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


class InstalledHelp(argparse.Action):
    """`--help`, with `{names}` in the help of an option filled in."""

    def __init__(
        self, *arguments: Any, names: dict[str, Callable[[], tuple[str, ...]]], **facts: Any
    ):
        super().__init__(*arguments, **facts | {"nargs": 0, "default": argparse.SUPPRESS})
        self.names = names

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the help and end."""
        for action in parser._actions:
            if action.dest in self.names and action.help:
                action.help = action.help.replace("{names}", self._listed(action.dest))
        parser.print_help()
        parser.exit()

    def _listed(self, name: str) -> str:
        try:
            return ", ".join(self.names[name]())
        except ModuleNotFoundError:  # not even NumPy
            return "see `qfx doctor`"
