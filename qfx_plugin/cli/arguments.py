"""The parser of `qfx` and its commands: names in full, in any order, with the nearest suggested."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn


class Arguments(argparse.ArgumentParser):
    """An `ArgumentParser` that guesses no abbreviation and takes files before or behind options."""

    def __init__(self, *arguments: Any, **facts: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False} | facts)

    def parse_known_args(  # type: ignore[override] # typeshed's overloads say the same
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As the base class; a command ends here where something is left over."""
        if args is None or any(isinstance(a, argparse._SubParsersAction) for a in self._actions):
            return super().parse_known_args(args, namespace)
        found, left = super().parse_known_args(self._files_first(list(args)), namespace)
        if left:
            flag = next((word for word in left if word.startswith("-")), None)
            known = list(self._option_string_actions)
            hint = "" if flag is None else _nearest(flag.partition("=")[0], known)
            self.error(f"unrecognized arguments: {' '.join(left)}{hint}")
        return found, left

    def error(self, message: str) -> NoReturn:
        """One line, with where to read more."""
        self.exit(2, f"{self.prog}: error: {message}; see `{self.prog} --help`\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = str(action.metavar or action.dest).lower()
            known = [str(choice) for choice in action.choices]
            must = f"{what} must be one of {', '.join(known)}, not {value!r}"
            raise argparse.ArgumentError(None, must + _nearest(str(value), known))

    def _files_first(self, words: list[str]) -> list[str]:
        """The same words with what belongs to no option first: `"?"` and `"+"` read it so."""
        if "--" in words:
            return words
        files: list[str] = []
        options: list[str] = []
        while words:
            word = words.pop(0)
            if not word.startswith("-") or word == "-":
                files.append(word)
                continue
            options.append(word)
            action = self._option_string_actions.get(word)
            count = self._values(word, action, words)
            options += words[:count]
            del words[:count]
        return files + options

    def _values(self, word: str, action: argparse.Action | None, words: list[str]) -> int:
        """How many of the words that follow a flag are its values."""
        if action is not None and action.nargs is None:
            return 1
        if action is None:  # a wrong name keeps what seems its value; `-Ox=1` and `--a=1` have one
            most = int(word.startswith("--") and "=" not in word)
        else:
            most = len(words) if action.nargs == "+" else 0
        ends = (i for i, other in enumerate(words) if other.startswith("-") or _is_file(other))
        return min(most, next(ends, len(words)))


def _nearest(name: str, known: list[str]) -> str:
    try:
        from qfx_plugin.config import nearest
    except ModuleNotFoundError:  # not even NumPy
        return ""
    return nearest(name, known)


def _is_file(word: str) -> bool:
    return word.endswith(".onnx") or os.sep in word
