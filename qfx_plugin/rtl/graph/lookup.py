"""Tables of the adder-graph compiler: a function of one number as a ROM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir import Lookup
from . import alkaid_adapter as adder_graph
from .lower import Symbols, handles

_ENTRY_BITS = 20
"""The compiler takes entries as float32: wider ones are the sum of two tables."""


@handles(Lookup)
def lower_lookup(op: Lookup, operands: Sequence[Symbols], effort: int) -> Symbols:
    """A table for each element, as long as the element's own range."""
    (x,) = operands
    codes, places = op.table.codes, (op.low, op.frac_bits)
    below = codes & ((1 << _ENTRY_BITS) - 1)
    wide = bool((np.abs(codes) >> _ENTRY_BITS).any())
    parts = (codes - below, below) if wide else (codes,)
    result = np.empty(x.shape, dtype=object)
    for index in np.ndindex(x.shape):
        found = [adder_graph.look_up(x[index], part, op.table.frac_bits, *places) for part in parts]
        result[index] = found[0] + found[1] if wide else found[0]
    return result
