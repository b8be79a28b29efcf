"""What a float dtype holds exactly; anything beyond is refused, never rounded."""

from __future__ import annotations

import torch

from brevitas_quantizers.fixed_point import FixedPointFormat, FormatError

# (bits of the mantissa, farthest binary point). A value travels from any binary point to any other
# by one multiplication with a power of two that stays a normal number.
_LIMITS = {torch.float32: (24, 50), torch.float64: (53, 450)}


def check_exact(who: str, fmt: FixedPointFormat, dtype: torch.dtype) -> None:
    """Refuse a format that holds a value which `dtype` cannot hold exactly.

    Args:
        who: what needs the format, for the error.
        fmt: the format.
        dtype: float32 or float64.

    Raises:
        FormatError: names the format, the limit and the remedy.
    """
    if dtype not in _LIMITS:
        raise FormatError(f"{who}: values must be float32 or float64, not {dtype}")
    mantissa, farthest = _LIMITS[dtype]
    if _magnitude_bits(fmt) > mantissa:
        raise FormatError(
            f"{who}: {fmt} does not fit the {mantissa}-bit mantissa of {dtype}: "
            f"{_remedy(fmt, dtype)}"
        )
    if abs(fmt.frac_bits) > farthest:
        raise FormatError(
            f"{who}: {fmt} has {fmt.frac_bits} fractional bits, {dtype} allows "
            f"-{farthest} to {farthest}: {_remedy(fmt, dtype)}"
        )


def _magnitude_bits(fmt: FixedPointFormat) -> int:
    return fmt.width - int(fmt.signed)


def _remedy(fmt: FixedPointFormat, dtype: torch.dtype) -> str:
    mantissa, farthest = _LIMITS[torch.float64]
    fits_double = _magnitude_bits(fmt) <= mantissa and abs(fmt.frac_bits) <= farthest
    if dtype is torch.float32 and fits_double:
        return "call .double() on the operands"
    return "cast the operands to fewer bits first"
