"""A function of one number as a table of integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..types import BigInts, Codes, FixedType, TensorType, Weight
from .base import Elementwise, Pick, align, operation

MAX_BITS = 12
"""Width of the codes that a table has entries for."""


@operation
class Lookup(Elementwise):
    """`table[x - low]`: any function of one number, an entry for each code of the operand.

    Attributes:
        table: (entries,) result codes with one binary point.
        low: the operand's code that the first entry is for, in units of `2**-frac_bits`.
        frac_bits: binary point of the operand's codes.
    """

    table: Weight
    low: int
    frac_bits: int

    def result(self, *operands: TensorType) -> FixedType:
        """Smallest and largest entry that the operand's range reaches."""
        operand = self.fixed(operands[0])
        self._check_table()
        first, last = self._reached(operand)
        entries = self.table.codes.astype(object)
        spans = [entries[a : b + 1] for a, b in zip(first, last, strict=True)]
        low, high = ([int(end(span)) for span in spans] for end in (np.min, np.max))
        return FixedType(
            operand.shape, self.table.frac_bits, np.array(low, object), np.array(high, object)
        )

    def run(
        self, operands: Sequence[NDArray[Any]], types: Sequence[TensorType], result: TensorType
    ) -> NDArray[Any]:
        """The entry of each code."""
        codes = align(operands[0], self.fixed(types[0]), np.array([self.frac_bits]))
        return self.table.codes[codes - self.low]

    @property
    def differs_by_channel(self) -> bool:
        """No: there is one table."""
        return False

    def with_channels(self, pick: Pick) -> Self | None:
        """The same for any channels."""
        return self

    def span(self, operand: FixedType) -> tuple[int, Codes]:
        """The smallest code that the operand reaches, and the entries from there to the largest.

        Args:
            operand: with one binary point or several; codes are in units of `2**-frac_bits`.
        """
        first, last = self._reached(operand)
        start = int(min(first))
        return self.low + start, self.table.codes[start : int(max(last)) + 1]

    def _reached(self, operand: FixedType) -> tuple[BigInts, BigInts]:
        """Numbers of the first and the last entry that each channel reaches."""
        if (operand.frac_bits > self.frac_bits).any():
            raise self.refuse(
                f"its table has entries for codes with {self.frac_bits} fractional bits, but its "
                f"operand has {int(operand.frac_bits.max())}: cast the operand to the table's "
                "format first"
            )
        low, high = operand.aligned(self.frac_bits)
        end = self.low + self.table.codes.size - 1
        if (low < self.low).any() or (high > end).any():
            raise self.refuse(
                f"its table has entries for the codes {self.low} to {end}, but its operand reaches "
                f"{int(low.min())} to {int(high.max())}: cast the operand to the table's format "
                "first"
            )
        return low - self.low, high - self.low

    def _check_table(self) -> None:
        shape, most = self.table.codes.shape, 1 << MAX_BITS
        if len(shape) != 1 or self.table.frac_bits.size != 1:
            raise self.refuse(
                f"its table must have one axis and one binary point, not shape {list(shape)} and "
                f"{self.table.frac_bits.size} binary points"
            )
        if not 1 <= shape[0] <= most:
            raise self.refuse(
                f"its table must have 1 to {most} entries, not {shape[0]}: cast its operand to at "
                f"most {MAX_BITS} bits"
            )
