"""QONNX files back to trainable networks; `docs/import.md` says what is read and refused."""

from brevitas_quantizers.fixed_point.discover import import_modules
from brevitas_quantizers.onnx_files import SnappedScale

from .api import import_qonnx
from .report import ImportReport

__all__ = ["ImportReport", "SnappedScale", "import_qonnx"]

import_modules(__name__)  # converters announce themselves
