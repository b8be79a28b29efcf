"""Reads QONNX files into the intermediate model, and refuses what is not exact fixed point."""

from .load import load_qonnx
from .read import ModelSource, read_model

__all__ = ["ModelSource", "load_qonnx", "read_model"]
