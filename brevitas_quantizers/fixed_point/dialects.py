"""What every other tool calls our modes: one table; None is a legal entry, "no equivalent".

ap        `ap_fixed` of Vitis HLS and the open `ap_types` headers
brevitas  `FloatToIntImplType` members; `narrow_range` of the integer quantizers
qonnx     `rounding_mode` and `narrow` attributes of `Quant`
hls4ml    `RoundingMode` and `SaturationMode` members of `hls4ml.model.types`
finn      the same attributes as FINN **executes** them: whatever the rounding mode, a `Quant`
          becomes thresholds at ties, `floor(x / scale + 0.5)`, which is `AP_RND`
alkaid    `round_mode` and `overflow_mode` of `FixedVariable.quantize`

Unsigned symmetric saturation differs between tools: `ap_ufixed` with `AP_SAT_SYM` saturates at
`2**width - 1`, a QONNX `Quant` with `narrow=1` at `2**width - 2`. `overflow_name` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from .errors import ModeError
from .modes import OverflowMode, RoundingMode

DIALECTS = ("ap", "brevitas", "qonnx", "hls4ml", "finn", "alkaid")

ROUNDING_NAMES: Mapping[RoundingMode, tuple[str | None, ...]] = MappingProxyType(
    {  # in the order of DIALECTS
        RoundingMode.AP_TRN: ("AP_TRN", "FLOOR", "FLOOR", "TRN", None, "TRN"),
        RoundingMode.AP_TRN_ZERO: (
            "AP_TRN_ZERO", "ROUND_TO_ZERO", "DOWN", "TRN_ZERO", None, None,
        ),
        RoundingMode.AP_RND: ("AP_RND", None, None, "RND", "ROUND", "RND"),
        RoundingMode.AP_RND_ZERO: ("AP_RND_ZERO", None, "HALF_DOWN", "RND_ZERO", None, None),
        RoundingMode.AP_RND_INF: ("AP_RND_INF", None, "HALF_UP", "RND_INF", None, None),
        RoundingMode.AP_RND_MIN_INF: ("AP_RND_MIN_INF", None, None, "RND_MIN_INF", None, None),
        RoundingMode.AP_RND_CONV: ("AP_RND_CONV", "ROUND", "ROUND", "RND_CONV", None, "RND_CONV"),
    }
)  # fmt: skip

OVERFLOW_NAMES: Mapping[OverflowMode, tuple[str | None, ...]] = MappingProxyType(
    {
        OverflowMode.AP_WRAP: ("AP_WRAP", None, None, "WRAP", None, "WRAP"),
        OverflowMode.AP_SAT: (
            "AP_SAT", "narrow_range=False", "narrow=0", "SAT", "narrow=0", "SAT",
        ),
        OverflowMode.AP_SAT_SYM: (
            "AP_SAT_SYM", "narrow_range=True", "narrow=1", "SAT_SYM", "narrow=1", "SAT_SYM",
        ),
        OverflowMode.AP_SAT_ZERO: ("AP_SAT_ZERO", None, None, "SAT_ZERO", None, None),
        OverflowMode.AP_WRAP_SM: ("AP_WRAP_SM", None, None, None, None, None),
    }
)  # fmt: skip

_ROUNDING_SYNONYMS: Mapping[tuple[str, str], RoundingMode] = MappingProxyType(
    {("qonnx", "HALF_EVEN"): RoundingMode.AP_RND_CONV}
)
_NARROWING = ("brevitas", "qonnx", "finn")

_Mode = TypeVar("_Mode", RoundingMode, OverflowMode)


def rounding_name(mode: RoundingMode | str, dialect: str) -> str | None:
    """What `dialect` calls a rounding mode; None if it has no equivalent.

    Raises:
        ModeError: `mode` or `dialect` is unknown.

    >>> rounding_name("AP_RND_CONV", "qonnx")
    'ROUND'
    """
    return ROUNDING_NAMES[RoundingMode.parse(mode)][_column(dialect)]


def overflow_name(mode: OverflowMode | str, dialect: str, signed: bool = True) -> str | None:
    """What `dialect` calls an overflow mode; None if it has no equivalent.

    Args:
        mode: the overflow mode.
        dialect: one of `DIALECTS`.
        signed: whether the format is signed. An unsigned `AP_SAT_SYM` is an `AP_SAT`, and gets
            that name where the tool's own symmetric mode would cut one code off.

    Raises:
        ModeError: `mode` or `dialect` is unknown.

    >>> overflow_name("AP_SAT_SYM", "qonnx"), overflow_name("AP_SAT_SYM", "qonnx", signed=False)
    ('narrow=1', 'narrow=0')
    """
    mode = OverflowMode.parse(mode)
    if mode is OverflowMode.AP_SAT_SYM and not signed and dialect in _NARROWING:
        mode = OverflowMode.AP_SAT
    return OVERFLOW_NAMES[mode][_column(dialect)]


def parse_rounding(name: str, dialect: str) -> RoundingMode:
    """The rounding mode that `dialect` calls `name`; case does not matter.

    Raises:
        ModeError: the name has no `ap_fixed` equivalent (QONNX `CEIL`, say), or is unknown.

    >>> parse_rounding("HALF_UP", "qonnx")
    <RoundingMode.AP_RND_INF: 'AP_RND_INF'>
    """
    synonym = _ROUNDING_SYNONYMS.get((dialect, name.upper()))
    return synonym or _parse(ROUNDING_NAMES, name, dialect, "rounding")


def parse_overflow(name: str, dialect: str) -> OverflowMode:
    """The overflow mode that `dialect` calls `name`, for a signed format; case does not matter.

    Raises:
        ModeError: the name has no `ap_fixed` equivalent, or is unknown.

    >>> parse_overflow("narrow=1", "qonnx")
    <OverflowMode.AP_SAT_SYM: 'AP_SAT_SYM'>
    """
    return _parse(OVERFLOW_NAMES, name, dialect, "overflow")


def require_rounding_name(mode: RoundingMode | str, dialect: str, who: str) -> str:
    """`rounding_name`, or an error that lists what would work.

    Args:
        mode: the rounding mode.
        dialect: one of `DIALECTS`.
        who: what the error is about, such as the name of a tensor.

    Raises:
        ModeError: `dialect` has no equivalent of `mode`.
    """
    name = rounding_name(mode, dialect)
    if name is None:
        raise _no_equivalent(ROUNDING_NAMES, RoundingMode.parse(mode), dialect, who, "rounding")
    return name


def require_overflow_name(
    mode: OverflowMode | str, dialect: str, who: str, signed: bool = True
) -> str:
    """`overflow_name`, or an error that lists what would work.

    Args:
        mode: the overflow mode.
        dialect: one of `DIALECTS`.
        who: what the error is about, such as the name of a tensor.
        signed: whether the format is signed.

    Raises:
        ModeError: `dialect` has no equivalent of `mode`.
    """
    name = overflow_name(mode, dialect, signed)
    if name is None:
        raise _no_equivalent(OVERFLOW_NAMES, OverflowMode.parse(mode), dialect, who, "overflow")
    return name


def _column(dialect: str) -> int:
    if dialect not in DIALECTS:
        raise ModeError(f"dialect must be one of {', '.join(DIALECTS)}, not {dialect!r}")
    return DIALECTS.index(dialect)


def _parse(
    table: Mapping[_Mode, tuple[str | None, ...]], name: str, dialect: str, kind: str
) -> _Mode:
    column = _column(dialect)
    known = {row[column]: mode for mode, row in table.items()}
    known.pop(None, None)
    for known_name, mode in known.items():
        if known_name is not None and known_name.upper() == name.upper():
            return mode
    names = ", ".join(str(known_name) for known_name in known)
    raise ModeError(
        f"{kind} {name!r} of {dialect} has no ap_fixed equivalent; those with one: {names}"
    )


def _no_equivalent(
    table: Mapping[_Mode, tuple[str | None, ...]], mode: _Mode, dialect: str, who: str, kind: str
) -> ModeError:
    column = _column(dialect)
    works = ", ".join(other.value for other, row in table.items() if row[column] is not None)
    return ModeError(
        f"{who}: {dialect} has no equivalent of {kind} {mode.value}; these work: {works}"
    )
