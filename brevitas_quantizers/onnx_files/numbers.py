"""Constants that need no Quant: numbers of few bits on one binary point."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .node import Node
from .operands import FileConstants

MAX_NUMBER_BITS = 16
"""A decimal fraction such as 0.1 has 24 in float32, and no reader of the file is exact there."""
MAX_BOUND_BITS = 64
"""Most bits right of the binary point of a bound or a slope."""


@dataclass(frozen=True, eq=False)
class PlainNumbers:
    """A constant operand that no Quant casts: numbers of few bits on one binary point.

    Attributes:
        codes: int64, in the shape of the file.
        frac_bits: their binary point.
        width: bits of the widest, with its sign.
    """

    codes: NDArray[np.int64]
    frac_bits: int
    width: int

    @classmethod
    def read(cls, node: Node, constants: FileConstants, name: str) -> PlainNumbers | None:
        """What an Add, Sub or Mul computes with; of a Div, the reciprocals; None for a tensor.

        Raises:
            UnsupportedModelError: numbers of more bits than every reader of the file is exact
                with.
        """
        if name not in constants.raw:
            return None
        values = constants.array(node, name, "operand").astype(np.float64)
        if node.op_type == "Div":
            if not (np.abs(np.frexp(values)[0]) == 0.5).all():
                raise node.refuse(
                    f"must divide by powers of two, unlike {name!r}: multiply by a quantized "
                    "constant"
                )
            values = 1 / values
        found = short_codes(values)
        if found is None:
            shown = f"{values.reshape(-1)[0]:.9g}" if values.size == 1 else "more"
            raise node.refuse(
                f"its operand {name!r} must be numbers of at most {MAX_NUMBER_BITS} bits on one "
                f"binary point, not {shown}; or it must go through a Quant node to be fixed point"
            )
        codes, bits = found
        width = int(np.abs(codes).max()).bit_length()
        return cls(codes, bits, width + 1)


def short_codes(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], int] | None:
    """Integers on one binary point that every reader of a file is exact with, and that point.

    Returns:
        None for numbers of more than `MAX_NUMBER_BITS`.
    """
    known = values[values != 0]
    if not values.size or not np.isfinite(known).all():
        return None
    bits = max((_point(Fraction(v)) for v in np.unique(known).tolist()), default=0)
    largest = Fraction(float(np.abs(known).max(initial=0)))
    width = int(largest * Fraction(2) ** bits).bit_length()
    if width > MAX_NUMBER_BITS or abs(bits) > MAX_BOUND_BITS:
        return None
    return np.ldexp(values, bits).astype(np.int64), bits


def _point(number: Fraction) -> int:
    """Binary point of the shortest code of a number that is not zero."""
    zeros = (number.numerator & -number.numerator).bit_length() - 1
    return number.denominator.bit_length() - 1 - zeros
