"""Errors of the driver: all are `QfxError`s, each one line."""

from __future__ import annotations

from brevitas_quantizers.fixed_point.errors import DataError, QfxError, one_line

__all__ = [
    "AcceleratorError",
    "AcceleratorTimeoutError",
    "DataError",
    "DescriptionError",
    "NoPowerSensor",
    "QfxError",
    "WrongBitstreamError",
    "one_line",
]


class AcceleratorError(QfxError, RuntimeError):
    """The accelerator or its DMA reports an error, or is used in a wrong order."""


class AcceleratorTimeoutError(QfxError, TimeoutError):
    """A run did not end in time; the text holds what the registers say."""


class DescriptionError(QfxError, ValueError):
    """The description of the accelerator is damaged, or of another version."""


class NoPowerSensor(QfxError, RuntimeError):  # noqa: N818 - a fact about the board, not a failure
    """The board gives no measurement of power."""


class WrongBitstreamError(QfxError, RuntimeError):
    """The logic on the board is not the accelerator that the description is of."""
