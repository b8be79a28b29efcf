"""FINN's hardware operations: folding, cost, simulation, design, hand-over."""

from .convert import specialise, to_hardware

__all__ = ["specialise", "to_hardware"]
