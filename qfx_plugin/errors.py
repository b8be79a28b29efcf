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
    one_line,
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
