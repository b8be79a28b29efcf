"""Fixed-point numbers, exactly as `ap_fixed` has them. NumPy only: importable on the board.

Written for reading: `format`, `modes`, `reference`. Written for arrays: `quantize`, `khot`,
`interval`. Names of the modes in other tools: `dialects`.
"""

from .arguments import MAX_WIDTH
from .dialects import (
    DIALECTS,
    overflow_name,
    parse_overflow,
    parse_rounding,
    require_overflow_name,
    require_rounding_name,
    rounding_name,
)
from .errors import (
    CalibrationError,
    ConversionError,
    DataError,
    ExportError,
    FormatError,
    ModeError,
    ModelImportError,
    OptionError,
    QfxError,
    QfxWarning,
)
from .format import FixedPointCast, FixedPointFormat
from .interval import Interval, minimal_format
from .khot import (
    KHotDigits,
    KHotEncoding,
    count_digits,
    encode_khot,
    is_khot,
    khot_codes,
    project_khot,
)
from .modes import OverflowMode, RoundingMode, forgotten
from .quantize import (
    cast_codes,
    code_range,
    from_codes,
    quantize,
    requantize,
    to_codes,
    wrap_or_saturate,
)
from .reference import cast_code
from .rounding import round_to_integer

__all__ = [
    "DIALECTS",
    "MAX_WIDTH",
    "CalibrationError",
    "ConversionError",
    "DataError",
    "ExportError",
    "FixedPointCast",
    "FixedPointFormat",
    "FormatError",
    "Interval",
    "KHotDigits",
    "KHotEncoding",
    "ModeError",
    "ModelImportError",
    "OptionError",
    "OverflowMode",
    "QfxError",
    "QfxWarning",
    "RoundingMode",
    "cast_code",
    "cast_codes",
    "code_range",
    "count_digits",
    "encode_khot",
    "forgotten",
    "from_codes",
    "is_khot",
    "khot_codes",
    "minimal_format",
    "overflow_name",
    "parse_overflow",
    "parse_rounding",
    "project_khot",
    "quantize",
    "requantize",
    "require_overflow_name",
    "require_rounding_name",
    "round_to_integer",
    "rounding_name",
    "to_codes",
    "wrap_or_saturate",
]
