"""QFX as Brevitas quant injectors."""

from .constants import DerivedConstants
from .fixed_point import QFXFixedPoint, QFXKHot
from .options import BinaryPointInit, QuantizerOptions
from .quantizers import FixedPointQuantizer, KHotQuantizer

__all__ = [
    "BinaryPointInit",
    "DerivedConstants",
    "FixedPointQuantizer",
    "KHotQuantizer",
    "QFXFixedPoint",
    "QFXKHot",
    "QuantizerOptions",
]
