"""The name under which users know `qfx_plugin.synthesis.estimate`."""

from ..synthesis.estimate import estimate

__all__ = ["estimate"]
