"""Reads QONNX files into the intermediate model, and refuses what is not exact fixed point."""

from .load import load_qonnx
from .read import ModelSource, read_model, reader_of
from .views import CHANNELS_LAST_DOMAIN, SUFFIX

__all__ = ["CHANNELS_LAST_DOMAIN", "SUFFIX", "ModelSource", "load_qonnx", "read_model", "reader_of"]
