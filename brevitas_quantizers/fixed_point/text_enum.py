"""`enum.StrEnum` for Python 3.10 too, which PYNQ's images of boards have."""

from __future__ import annotations

from enum import Enum


class TextEnum(str, Enum):  # noqa: UP042 - StrEnum came with Python 3.11
    """An enumeration whose members are texts, and print as their values."""

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)
