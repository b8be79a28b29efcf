"""The number format: three stored facts, everything else derived."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from .errors import FormatError
from .modes import OverflowMode, RoundingMode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_TYPE_NAME = re.compile(
    r"\s*(?:ap_)?(?P<unsigned>u?)fixed\s*<\s*(?P<arguments>[^<>]*)>\s*", re.ASCII
)


@dataclass(frozen=True, slots=True)
class FixedPointFormat:
    """`ap_fixed<width, integer_bits>` or `ap_ufixed<width, integer_bits>`.

    A value is `code * 2**-frac_bits` with an integer code. For `FixedPointFormat(8, 3)`::

        bit     7    6  5    4  3  2  1  0
                s    i  i  . f  f  f  f  f     integer_bits = 3 (sign included), frac_bits = 5

    The binary point may lie outside the word: `integer_bits` below 0 or above `width` is legal.

    Attributes:
        width: word length in bits, at least 1.
        integer_bits: bits left of the binary point, **counting the sign bit**, as in `ap_fixed`.
        signed: two's complement if true, plain binary otherwise.

    Raises:
        FormatError: a field is not of its type, or `width` is below 1. A number too far from 1 for
            a float64 raises when `lsb`, `min` or `max` is asked for.
    """

    width: int
    integer_bits: int
    signed: bool = True

    def __post_init__(self) -> None:
        for name in ("width", "integer_bits"):
            object.__setattr__(self, name, as_int(name, getattr(self, name)))
        if self.signed not in (True, False):
            raise FormatError(f"signed must be True or False, not {self.signed!r}")
        object.__setattr__(self, "signed", bool(self.signed))
        if self.width < 1:
            raise FormatError(f"width must be at least 1 bit, not {self.width}")

    @classmethod
    def from_frac_bits(cls, width: int, frac_bits: int, signed: bool = True) -> FixedPointFormat:
        """Build a format from its fractional bits.

        Args:
            width: word length in bits.
            frac_bits: bits right of the binary point (`width - integer_bits`).
            signed: two's complement if true.
        """
        width, frac_bits = as_int("width", width), as_int("frac_bits", frac_bits)
        return cls(width, width - frac_bits, signed)

    @classmethod
    def parse(cls, text: str) -> FixedPointFormat:
        """Read `"ap_fixed<8,3>"`, `"ap_ufixed<8,3>"`, `"fixed<8,3>"` or `"ufixed<8,3>"`.

        Raises:
            FormatError: any other text; also one that names modes, which a format does not hold
                (see `FixedPointCast.parse`).
        """
        match = _TYPE_NAME.fullmatch(text)
        arguments = match["arguments"].split(",") if match else []
        if match is None or len(arguments) != 2:
            raise FormatError(
                f"format must look like 'ap_fixed<8,3>' or 'ap_ufixed<8,3>', not {text!r}"
            )
        width, integer_bits = (_parse_int(argument, text) for argument in arguments)
        return cls(width, integer_bits, signed=not match["unsigned"])

    def __str__(self) -> str:
        return f"ap_{'' if self.signed else 'u'}fixed<{self.width},{self.integer_bits}>"

    @property
    def frac_bits(self) -> int:
        """Bits right of the binary point: `width - integer_bits`."""
        return self.width - self.integer_bits

    @property
    def lsb(self) -> float:
        """Value of one code step, `2**-frac_bits`."""
        return self._value(1)

    @property
    def min_code(self) -> int:
        """Smallest integer code."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max_code(self) -> int:
        """Largest integer code."""
        return (1 << (self.width - int(self.signed))) - 1

    @property
    def min(self) -> float:
        """Smallest value, in more than 53 bits the nearest float64."""
        return self._value(self.min_code)

    @property
    def max(self) -> float:
        """Largest value, in more than 53 bits the nearest float64."""
        return self._value(self.max_code)

    def contains(self, other: FixedPointFormat) -> bool:
        """Whether every value of `other` is exactly a value of this format."""
        return (
            self.frac_bits >= other.frac_bits
            and self.min_code <= other.min_code << (self.frac_bits - other.frac_bits)
            and self.max_code >= other.max_code << (self.frac_bits - other.frac_bits)
        )

    def to_codes(
        self,
        x: ArrayLike,
        rounding: RoundingMode | str = RoundingMode.AP_RND_CONV,
        overflow: OverflowMode | str = OverflowMode.AP_SAT,
    ) -> NDArray[np.int64]:
        """Cast values to integer codes; see `fixed_point.quantize.to_codes`."""
        from .quantize import to_codes

        return to_codes(x, self, rounding, overflow)

    def from_codes(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Values of integer codes; see `fixed_point.quantize.from_codes`."""
        from .quantize import from_codes

        return from_codes(codes, self)

    def quantize(
        self,
        x: ArrayLike,
        rounding: RoundingMode | str = RoundingMode.AP_RND_CONV,
        overflow: OverflowMode | str = OverflowMode.AP_SAT,
    ) -> NDArray[np.floating]:
        """Cast values to values of this format; see `fixed_point.quantize.quantize`."""
        from .quantize import quantize

        return quantize(x, self, rounding, overflow)

    def _value(self, code: int) -> float:
        try:
            value = float(code * Fraction(2) ** -self.frac_bits)
        except OverflowError:
            value = 0.0
        if code and not value:
            raise FormatError(f"{self} has no float64 for code {code}")
        return value


@dataclass(frozen=True, slots=True)
class FixedPointCast:
    """A format with the two modes that decide how values get into it: a full `ap_fixed` type.

    Attributes:
        format: the format after the cast.
        rounding: what happens below the LSB.
        overflow: what happens outside the range.
    """

    format: FixedPointFormat
    rounding: RoundingMode = RoundingMode.AP_RND_CONV
    overflow: OverflowMode = OverflowMode.AP_SAT

    def __post_init__(self) -> None:
        object.__setattr__(self, "rounding", RoundingMode.parse(self.rounding))
        object.__setattr__(self, "overflow", OverflowMode.parse(self.overflow))

    @classmethod
    def parse(cls, text: str) -> FixedPointCast:
        """Read `"ap_fixed<8,3,AP_RND_CONV,AP_SAT>"`; omitted modes are those of `ap_fixed`.

        Raises:
            FormatError: the text is no `ap_fixed` type.
            ModeError: a mode is unknown.
        """
        match = _TYPE_NAME.fullmatch(text)
        arguments = [part.strip() for part in match["arguments"].split(",")] if match else []
        if match is None or not 2 <= len(arguments) <= 4:
            raise FormatError(f"cast must look like 'ap_fixed<8,3,AP_RND,AP_SAT>', not {text!r}")
        width, integer_bits = (_parse_int(argument, text) for argument in arguments[:2])
        fmt = FixedPointFormat(width, integer_bits, signed=not match["unsigned"])
        rounding = arguments[2] if len(arguments) > 2 else RoundingMode.AP_TRN
        overflow = arguments[3] if len(arguments) > 3 else OverflowMode.AP_WRAP
        return cls(fmt, RoundingMode.parse(rounding), OverflowMode.parse(overflow))

    def __str__(self) -> str:
        return f"{str(self.format)[:-1]},{self.rounding},{self.overflow}>"


def as_int(name: str, value: object) -> int:
    """`value` as a plain `int`; booleans and fractional numbers are refused."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise FormatError(f"{name} must be an integer, not {value!r}")
    return int(value.__index__())


def _parse_int(argument: str, text: str) -> int:
    try:
        return int(argument)
    except ValueError:
        raise FormatError(f"{argument.strip()!r} is not a number of bits in {text!r}") from None
