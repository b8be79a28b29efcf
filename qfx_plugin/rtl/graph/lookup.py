"""Tables of the adder-graph compiler: a function of one number as a ROM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...ir import Lookup
from . import alkaid_adapter as adder_graph
from .casts import Symbol
from .lower import Symbols, handles

_ENTRY_BITS = 20
"""The compiler takes entries as float32: wider ones are the sum of two tables."""


@handles(Lookup)
def lower_lookup(op: Lookup, operands: Sequence[Symbols], effort: int) -> Symbols:
    """A table for each element, as long as the element's own range."""
    (x,) = operands
    codes = op.table.codes
    below = codes & ((1 << _ENTRY_BITS) - 1)
    wide = bool((np.abs(codes) >> _ENTRY_BITS).any())
    parts = (codes - below, below) if wide else (codes,)
    result = np.empty(x.shape, dtype=object)
    for index in np.ndindex(x.shape):
        found = [_entry(x[index], part, op) for part in parts]
        result[index] = found[0] + found[1] if wide else found[0]
    return result


def _entry(x: Symbol, codes: NDArray[np.int64], op: Lookup) -> Symbol:
    """The entry at a symbol, whose LSB may be coarser than the table's.

    Its range may be wider than the one that is proven: what never occurs takes the nearest entry.
    """
    first, last = (round(end * 2.0**op.frac_bits) - op.low for end in (x.low, x.high))
    step = max(1, round(x.step * 2.0**op.frac_bits))
    found = codes[[min(max(place, 0), len(codes) - 1) for place in range(first, last + 1, step)]]
    entries = np.ldexp(found.astype(np.float64), -op.table.frac_bits)
    return adder_graph.constant(float(entries[0])) if entries.size == 1 else x.lookup(entries)
