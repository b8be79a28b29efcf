"""Errors of the plugins. All derive from `QfxError`, which lives in the NumPy-only core."""

from __future__ import annotations

from brevitas_quantizers.fixed_point.errors import (
    CalibrationError,
    DataError,
    ExportError,
    FormatError,
    ModeError,
    ModelFileError,
    OptionError,
    QfxError,
    QfxWarning,
    UnsupportedModelError,
)

__all__ = [
    "CalibrationError",
    "DataError",
    "ExportError",
    "FormatError",
    "ModeError",
    "ModelFileError",
    "OptionError",
    "PluginError",
    "PluginWarning",
    "QfxError",
    "QfxWarning",
    "TargetError",
    "ToolMissingError",
    "UnsupportedModelError",
    "VerificationError",
    "one_line",
]

REASON_LENGTH = 300


class TargetError(QfxError, ValueError):
    """A model or option that the chosen target (hls4ml, FINN, RTL) cannot represent exactly."""


class ToolMissingError(QfxError, RuntimeError):
    """An external tool or optional package that a step needs is not installed."""


class VerificationError(QfxError, AssertionError):
    """Two executors disagree: the text says on how many codes, and shows the first of them."""


class PluginError(QfxError, RuntimeError):
    """A target or executor of another distribution that cannot be used."""


class PluginWarning(QfxWarning):
    """A target or executor of another distribution that is left out."""


def one_line(error: BaseException | str) -> str:
    """What an error says, in one line: its first that is not empty; with its type if not ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    is_plain = bool(lines) and isinstance(error, QfxError | str)
    return ": ".join([*([] if is_plain else [type(error).__name__]), *lines[:1]])[:REASON_LENGTH]
