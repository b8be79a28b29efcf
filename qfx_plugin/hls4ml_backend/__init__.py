"""hls4ml: QONNX files to HLS projects whose C simulation equals the integer interpreter.

See `docs/hls4ml.md`. Importing this package does not import hls4ml.
"""

from .adapter import available, version
from .config import config_from_qonnx
from .lowering.lower import lower
from .lowering.plan import Plan, PlannedLayer
from .model import Hls4mlModel, convert
from .tables import format_config, load_config, save_config

__all__ = [
    "Hls4mlModel",
    "Plan",
    "PlannedLayer",
    "available",
    "config_from_qonnx",
    "convert",
    "format_config",
    "load_config",
    "lower",
    "save_config",
    "version",
]
