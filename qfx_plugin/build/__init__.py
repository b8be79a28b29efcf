"""Builds: from a model to a folder that is ready for the board. See `docs/build.md`.

Names are resolved on first use, so that the command line stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import build
    from .manifest import Manifest
    from .options import BuildOptions
    from .result import BuildResult, StepResult
    from .steps import Step, StepContext

_HOMES = {
    "BuildOptions": "options",
    "BuildResult": "result",
    "Manifest": "manifest",
    "Step": "steps",
    "StepContext": "steps",
    "StepResult": "result",
    "build": "api",
}

__all__ = [
    "BuildOptions",
    "BuildResult",
    "Manifest",
    "Step",
    "StepContext",
    "StepResult",
    "build",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
