"""QONNX: the exchange format between training and every compiler."""

from .export import export_qonnx
from .importer import ImportReport, SnappedScale, import_qonnx
from .qcdq import to_qcdq
from .targets import Target

__all__ = ["ImportReport", "SnappedScale", "Target", "export_qonnx", "import_qonnx", "to_qcdq"]
