"""The targets. Each is one file, whose `STEPS` is the table of contents of its build."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from ..errors import OptionError
from .steps import Step

TARGETS = {
    "finn": "targets.finn.target",
    "hls4ml": "targets.hls4ml.target",
    "rtl": "targets.rtl.target",
}
"""Name of a target, and the module of this package that defines `ABOUT`, `OPTIONS` and `STEPS`."""


@dataclass(frozen=True)
class Target:
    """A target.

    Attributes:
        name: how users call it.
        about: one line for people.
        options: frozen dataclass of its own options.
        steps: in order.
    """

    name: str
    about: str
    options: type
    steps: tuple[Step, ...]

    def position(self, step: str) -> int:
        """Index of a step.

        Raises:
            OptionError: there is no such step.
        """
        names = [one.name for one in self.steps]
        if step not in names:
            raise OptionError(
                f"step of target {self.name} must be one of {', '.join(names)}, not {step!r}"
            )
        return names.index(step)


def find_target(name: str) -> Target:
    """A target by its name.

    Raises:
        OptionError: there is no such target.
    """
    if name not in TARGETS:
        raise OptionError(f"target must be one of {', '.join(TARGETS)}, not {name!r}")
    module = import_module(f".{TARGETS[name]}", __package__)
    return Target(name, module.ABOUT, module.OPTIONS, module.STEPS)
