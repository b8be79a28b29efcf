"""Registers of names: QFX's own parts, and those of other distributions by their entry points.

    [project.entry-points."qfx.executors"]
    mine = "my_package.executor:EXECUTOR"

What another distribution adds cannot break the rest: if it raises when it is imported, is not what
it should be, or has a name that exists already, it is left out, and one warning or error names it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import metadata
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from .config import unknown
from .errors import OptionError, PluginError, PluginWarning, one_line

T = TypeVar("T")


class PluginRegister(Mapping[str, T], Generic[T]):
    """What can be used by name; each part is imported when it is asked for.

    Iteration leaves out, with a warning, what cannot be used; asked for by name, it is an error.

    Args:
        group: of the entry points.
        kind: of its parts, in one word for messages.
        own: QFX's, in order: "module" or "module:attribute" by name.
        make: makes a part of what its entry point names; raises `QfxError` if it is none.
    """

    def __init__(
        self, group: str, kind: str, own: Mapping[str, str], make: Callable[[str, Any], T]
    ) -> None:
        self.group, self.kind, self._make = group, kind, make
        self._own = {name: EntryPoint(name, value, group) for name, value in own.items()}

    def names(self) -> tuple[str, ...]:
        """All names, nothing imported: QFX's, then those of other distributions."""
        return tuple(self._points())

    def find(self, name: str) -> T:
        """A part by its name.

        Raises:
            OptionError: there is none of this name.
            PluginError: it is another distribution's, and cannot be used.
        """
        for problem in self._taken().get(name, ()):
            warnings.warn(problem, PluginWarning, stacklevel=2)
        if name not in self:
            raise OptionError(unknown(str(name), self.names(), self.kind))
        return self[name]

    def origin(self, name: str) -> str:
        """The distribution that a part comes from, with its version; empty for QFX's own."""
        return _distribution(self._points()[name])

    def problems(self) -> tuple[str, ...]:
        """What other distributions add and cannot be used, each in one line."""
        taken = (text for texts in self._taken().values() for text in texts)
        return (*taken, *filter(None, map(self._problem, self.names())))

    def __getitem__(self, name: str) -> T:
        point = self._points()[name]
        try:
            return self._make(name, point.load())
        except (Exception, SystemExit) as error:
            if point.dist is None:
                raise
            text = f"{self._who(point)} cannot be used: {one_line(error, typed=True)}"
            raise PluginError(text) from error

    def __iter__(self) -> Iterator[str]:
        for problem in self.problems():
            warnings.warn(problem, PluginWarning, stacklevel=2)
        yield from (name for name in self.names() if not self._problem(name))

    def __contains__(self, name: object) -> bool:
        return name in self._points()

    def __len__(self) -> int:
        return sum(not self._problem(name) for name in self.names())

    def _problem(self, name: str) -> str:
        """Why a part cannot be used; empty if it can."""
        try:
            self[name]
        except PluginError as error:
            return str(error)
        return ""

    def _points(self) -> dict[str, EntryPoint]:
        outside = {point.name: point for point in reversed(self._outside())}
        return self._own | {name: outside[name] for name in sorted(outside.keys() - self._own)}

    def _taken(self) -> dict[str, list[str]]:
        """By name: what is not used, because the name is another's."""
        used, found = self._points(), dict[str, list[str]]()
        for point in self._outside():
            if point is not used[point.name]:
                owner = _distribution(used[point.name]) or "qfx-plugin"
                text = f"{self._who(point)} is left out: {owner} has one of this name"
                found.setdefault(point.name, []).append(text)
        return found

    def _outside(self) -> tuple[EntryPoint, ...]:
        return _entry_points(self.group, tuple(sys.path))

    def _who(self, point: EntryPoint) -> str:
        return f"{self.kind} {point.name!r} of {_distribution(point)}"


def _distribution(point: EntryPoint) -> str:
    return "" if point.dist is None else f"{point.dist.name} {point.dist.version}"


@cache
def _entry_points(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Of what is installed on a path, which is looked through once: 10 ms."""
    return tuple(sorted(metadata.entry_points(group=group), key=lambda point: point.name))
