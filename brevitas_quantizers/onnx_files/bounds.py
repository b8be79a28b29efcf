"""Numbers that nodes hold themselves: bounds and slopes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .node import Node
from .numbers import MAX_BOUND_BITS, MAX_NUMBER_BITS
from .operands import FileConstants

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
