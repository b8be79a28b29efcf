"""Registers fill themselves: what announces something need only be a module of the package."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def import_modules(package: str) -> list[ModuleType]:
    """Import every module of a package, so that each announces what it has.

    Args:
        package: its full name; the caller is its `__init__`, or keeps its register.
    """
    found = iter_modules(import_module(package).__path__)
    return [import_module(f"{package}.{module.name}") for module in found]
