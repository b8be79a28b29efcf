"""hls4ml: QONNX files to HLS projects whose C simulation equals the integer interpreter.

See `docs/hls4ml.md`. Importing this package does not import hls4ml.
"""

from .adapter import available, version
from .config import config_from_qonnx
from .lowering import lower
from .model import Hls4mlModel, convert
from .plan import Plan, PlannedLayer

__all__ = [
    "Hls4mlModel",
    "Plan",
    "PlannedLayer",
    "available",
    "config_from_qonnx",
    "convert",
    "lower",
    "version",
]
