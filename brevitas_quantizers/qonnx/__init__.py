"""QONNX: the exchange format between training and every compiler."""

from brevitas_quantizers.onnx_files import Reader

from .export import export_qonnx
from .importer import ImportReport, SnappedScale, import_qonnx
from .qcdq import to_qcdq

__all__ = ["ImportReport", "Reader", "SnappedScale", "export_qonnx", "import_qonnx", "to_qcdq"]
