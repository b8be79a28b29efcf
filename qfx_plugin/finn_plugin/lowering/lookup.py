"""Tables among what stands between layers: thresholds, where the function never falls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import TargetError
from ...ir import Lookup
from .chain import Link, slopes


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
