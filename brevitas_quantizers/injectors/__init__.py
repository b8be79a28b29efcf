"""QFX as Brevitas quant injectors."""

from . import saving  # noqa: F401 # it registers how injectors are pickled
from .constants import DerivedConstants
from .digits import DigitsQuantizer
from .fixed_point import QFXDigits, QFXFixedPoint, QFXKHot, QFXLog
from .options import BinaryPointInit, QuantizerOptions
from .quantizers import FixedPointQuantizer, KHotQuantizer

__all__ = [
    "BinaryPointInit",
    "DerivedConstants",
    "DigitsQuantizer",
    "FixedPointQuantizer",
    "KHotQuantizer",
    "QFXDigits",
    "QFXFixedPoint",
    "QFXKHot",
    "QFXLog",
    "QuantizerOptions",
]
