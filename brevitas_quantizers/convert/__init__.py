"""A float network to a QFX network, in one call."""

from .api import quantize

__all__ = ["quantize"]
