"""Small float networks of many kinds: `ZOO`, by name."""

from __future__ import annotations

from . import images, pixels, signals, vectors
from .table import ZOO, Network

__all__ = ["ZOO", "Network", "images", "pixels", "signals", "vectors"]
