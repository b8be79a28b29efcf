"""Numbers that nodes hold themselves: bounds, slopes, and constants that no Quant casts."""

from __future__ import annotations

import math
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
DEFAULT_ALPHA = float(np.float32(0.01))


@dataclass(frozen=True)
class Bounds:
    """A Clip; None where a side is open.

    Attributes:
        low: least value.
        high: greatest value.
    """

    low: Fraction | None
    high: Fraction | None

    @classmethod
    def read(cls, node: Node, constants: FileConstants) -> Bounds:
        """Operands or, before opset 11, attributes.

        Raises:
            UnsupportedModelError: a bound is computed, or has more bits than any sane one.
        """
        _, *names = node.operands(1, 3)
        low, high = (
            constants.number(node, name, key) if name else node.real(key, math.nan)
            for key, name in zip(("min", "max"), names, strict=True)
        )
        node.check_all_read()
        found = cls(*(Fraction(b) if math.isfinite(b) else None for b in (low, high)))
        if found.bits > MAX_BOUND_BITS:
            raise node.refuse(
                f"its bounds must have at most {MAX_BOUND_BITS} bits right of the binary point, "
                f"not {found.bits}"
            )
        if found.low is not None and found.high is not None and found.low > found.high:
            raise node.refuse(f"bounds must be in order, not {low:g} and {high:g}")
        return found

    @property
    def bits(self) -> int:
        """Right of the binary point, so that both bounds are whole numbers."""
        known = [bound for bound in (self.low, self.high) if bound is not None]
        return max((bound.denominator.bit_length() - 1 for bound in known), default=0)


def read_leaky_slope(node: Node) -> Fraction:
    """The slope of a LeakyRelu: a short number.

    Raises:
        UnsupportedModelError: a number of more bits, which no reader of the file multiplies by
            exactly.
    """
    node.operands(1)
    alpha = node.real("alpha", DEFAULT_ALPHA)
    node.check_all_read()
    slope = Fraction(alpha) if math.isfinite(alpha) else Fraction(1, 1 << MAX_BOUND_BITS + 1)
    bits = slope.denominator.bit_length() - 1
    if slope.numerator.bit_length() > MAX_NUMBER_BITS or bits > MAX_BOUND_BITS:
        raise node.refuse(
            f"alpha must be a number of at most {MAX_NUMBER_BITS} significant bits, not {alpha:.9g}"
        )
    return slope


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
        numbers = [Fraction(v) if math.isfinite(v) else None for v in values.reshape(-1).tolist()]
        known = [number for number in numbers if number]
        bits = max((_point(number) for number in known), default=0)
        codes = [int(n * Fraction(2) ** bits) if n is not None else 1 << 62 for n in numbers]
        width = max((abs(code).bit_length() for code in codes), default=0)
        if not codes or width > MAX_NUMBER_BITS or abs(bits) > MAX_BOUND_BITS:
            shown = f"{values.reshape(-1)[0]:.9g}" if values.size == 1 else f"{width}"
            raise node.refuse(
                f"its operand {name!r} must be numbers of at most {MAX_NUMBER_BITS} bits on one "
                f"binary point, not {shown}; or it must go through a Quant node to be fixed point"
            )
        array = np.array(codes, dtype=np.int64).reshape(values.shape)
        return cls(array, bits, width + 1)


def _point(number: Fraction) -> int:
    """Binary point of the shortest code of a number that is not zero."""
    zeros = (number.numerator & -number.numerator).bit_length() - 1
    return number.denominator.bit_length() - 1 - zeros
