"""QONNX: the exchange format between training and every compiler."""

from .export import export_qonnx
from .targets import Target

__all__ = ["Target", "export_qonnx"]
