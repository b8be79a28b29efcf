"""The targets. Each is one module, whose `STEPS` is the table of contents of its build.

Another distribution adds its own by an entry point of the group `qfx.targets` that names such a
module; see `docs/build.md`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..boards.board import FAMILIES, ZYNQ, Board
from ..config import unknown
from ..errors import OptionError
from ..plugins import PluginRegister
from .common import CommonOptions
from .steps import Step

if TYPE_CHECKING:
    from ..ir import Graph

_OWN = ("finn", "hls4ml", "rtl")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Target:
    """A target.

    Attributes:
        name: how users call it.
        about: one line for people.
        options: frozen dataclass of its own options.
        steps: in order.
        takes: what plans or builds a graph of `qfx_plugin.ir`, and refuses with a `QfxError` what
            it cannot represent: by name, a column of the support matrix each.
        families: of boards' devices that it builds for.
    """

    name: str
    about: str
    options: type
    steps: tuple[Step, ...]
    takes: Mapping[str, Callable[[Graph], object]] = field(default_factory=dict)
    families: tuple[str, ...] = ZYNQ

    def for_board(self, board: Board) -> Target:
        """The target with those of its steps that a board has.

        Raises:
            OptionError: it does not build for such boards.
        """
        if board.family not in self.families:
            raise OptionError(
                f"board of target {self.name} must be of {', '.join(self.families)}, not "
                f"{board.name!r} ({board.family}): name another board, or target rtl"
            )
        chosen = (one for one in self.steps if board.family in (one.families or self.families))
        return replace(self, steps=tuple(chosen))

    def position(self, step: str) -> int:
        """Index of a step, spelled with -ise or -ize.

        Raises:
            OptionError: there is no such step.
        """
        names = [one.name for one in self.steps]
        spelled = step if step in names else step.replace("ize", "ise")
        if spelled not in names:
            raise OptionError(unknown(step, names, f"step of target {self.name}"))
        return names.index(spelled)


def make_target(name: str, module: Any) -> Target:
    """A target from what its module defines; `steps` says what.

    Raises:
        OptionError: something is missing, or has another shape.
    """
    about: Any
    options: Any
    steps: Any
    about, options, steps = (getattr(module, key, None) for key in ("ABOUT", "OPTIONS", "STEPS"))
    if not _NAME.fullmatch(name) or name in _names(CommonOptions):
        raise OptionError(f"name must be a word of a-z, 0-9 and _ that is no option, not {name!r}")
    if not isinstance(about, str):
        raise OptionError(f"ABOUT must be a line of text, not {about!r}")
    if not isinstance(options, type) or not dataclasses.is_dataclass(options):
        raise OptionError(f"OPTIONS must be a dataclass, not {options!r}")
    _check_options(options)
    families = tuple(getattr(module, "FAMILIES", ZYNQ))
    if not set(families) <= set(FAMILIES):
        raise OptionError(f"FAMILIES must be among {', '.join(FAMILIES)}, not {families!r}")
    _check_steps(steps, families)
    takes = dict(getattr(module, "TAKES", {}))
    return Target(name, about, options, tuple(steps), takes, families)


def _names(cls: type) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def _check_options(options: type) -> None:
    for field_ in dataclasses.fields(options):
        missing = dataclasses.MISSING
        if field_.default is missing and field_.default_factory is missing:
            raise OptionError(
                f"OPTIONS must have a default for every field, not none for {field_.name}"
            )
        if "about" not in field_.metadata:
            raise OptionError(f"OPTIONS must say by `setting` what {field_.name} is")
        if field_.name in _names(CommonOptions):
            raise OptionError(f"OPTIONS must not have {field_.name}, which every build has")


def _check_steps(steps: Any, families: tuple[str, ...]) -> None:
    if not isinstance(steps, list | tuple) or not all(isinstance(step, Step) for step in steps):
        raise OptionError(f"STEPS must be a tuple of Step, not {steps!r}")
    wrong = [step.name for step in steps if not _NAME.fullmatch(step.name)]
    for family in families:
        names = [step.name for step in steps if family in (step.families or families)]
        wrong += [name for name in names if names.count(name) > 1]
    if wrong:
        raise OptionError(f"STEPS must have different names of a-z, 0-9 and _, not {wrong[0]!r}")
    if all(step.by_vendor for step in steps):
        raise OptionError("STEPS must have one that needs no tool of a vendor")


TARGETS: PluginRegister[Target] = PluginRegister(
    "qfx.targets",
    "target",
    {name: f"{__package__}.targets.{name}.target" for name in _OWN},
    make_target,
)
"""The targets by name."""


def find_target(name: str) -> Target:
    """A target by its name.

    Raises:
        OptionError: there is no such target.
        PluginError: it is another distribution's, and cannot be used.
    """
    return TARGETS.find(name)
