"""QONNX files back to trainable networks; `docs/import.md` says what is read and refused."""

from .api import import_qonnx
from .report import ImportReport, SnappedScale

__all__ = ["ImportReport", "SnappedScale", "import_qonnx"]
