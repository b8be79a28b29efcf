"""Better fixed point after training, without labels, and what it loses where."""

from .reconstruction import reconstruct

__all__ = ["reconstruct"]
