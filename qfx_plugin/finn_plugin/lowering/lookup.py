"""Tables among what stands between layers: thresholds, where the function never falls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import TargetError
from ...ir import Lookup, Quantize
from .chain import Link, slopes
from .lower import handles


@slopes(Lookup)
def lookup_slopes(link: Link) -> NDArray[np.int64]:
    """Rising, or refused: a table has no sign that another operation could turn."""
    op: Lookup = link.op
    low, entries = op.span(link.source)
    falls = np.flatnonzero(np.diff(entries) < 0)
    if falls.size:
        place = (low + int(falls[0])) * 2.0**-op.frac_bits
        raise TargetError(
            f"{op.label}: its function falls behind {place:g}, which thresholds cannot follow: use "
            "target 'hls4ml' or 'rtl' (style 'unrolled' or 'streaming'), or a function that never "
            "falls"
        )
    return np.ones(1, dtype=np.int64)


@handles(Lookup)
def lower_lookup(lowering: Any, op: Lookup) -> None:
    """It waits for the cast behind it; without one, it is a cast to its entries' own format."""
    if not lowering.is_monotone(op):  # it becomes a table: of the codes themselves, not of sums
        lowering.settled(op.inputs[0])
    value, readers = lowering.extended(op), lowering.graph.consumers(op.output)
    is_output = op.output in lowering.graph.outputs
    if not is_output and all(isinstance(reader, Quantize) for reader in readers):
        lowering.values[op.output] = value
        return
    kind = lowering.fixed(op.output)
    fmt = kind.format
    cast = Quantize(op.name, (op.output,), op.output, fmt.width, fmt.frac_bits, fmt.signed)
    pending = (*value.pending, Link(cast, kind, kind))
    lowering.values[op.output] = lowering.cast(cast, replace(value, pending=pending))
