"""Reads QONNX files into the intermediate model, and refuses what is not exact fixed point."""

from brevitas_quantizers.fixed_point.discover import import_modules
from brevitas_quantizers.onnx_files import CHANNELS_LAST_DOMAIN, ModelSource, reader_of

from .load import load_qonnx
from .views import SUFFIX

__all__ = ["CHANNELS_LAST_DOMAIN", "SUFFIX", "ModelSource", "load_qonnx", "reader_of"]

import_modules(__name__)  # converters announce themselves
