"""Tables of the adder-graph compiler: a function of one number as a ROM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir import Lookup
from . import alkaid_adapter as adder_graph
from .lower import Symbols, array, handles


@handles(Lookup)
def lower_lookup(op: Lookup, operands: Sequence[Symbols], effort: int) -> Symbols:
    """A table for each element, as long as the element's own range."""
    (x,) = operands
    entries = np.ldexp(op.table.codes.astype(np.float64), -op.table.frac_bits)
    lsb = 2.0**-op.frac_bits
    return array([adder_graph.look_up(one, entries, op.low * lsb, lsb) for one in x.reshape(-1)])
