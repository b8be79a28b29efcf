"""From our graph to hls4ml's layers, channels first to channels last, every type decided.

hls4ml has one type per tensor and writes it everywhere. A cast costs no layer of its own where it
can be the result type of the layer before it. What cannot be exact is refused here, with the
node's name, before hls4ml sees it. One function lowers each operation and announces itself by
`@handles`; what they share is `Lowering`.
"""

from __future__ import annotations

from ...config import checked_keywords
from ...errors import TargetError
from ...ir import Graph
from ...ir.passes import (
    apply,
    drop_dead,
    drop_identities,
    drop_saturation,
    fold_constants,
    fold_halves,
    merge_biases,
    merge_halves,
    share_pads,
    silence_dead,
    spread_groups,
)
from .plan import Plan
from .state import Lowering, handles

__all__ = ["handles", "lower"]

PASSES = (
    drop_identities,
    fold_constants,
    drop_dead,
    merge_biases,
    merge_halves,
    silence_dead,
    fold_halves,
    share_pads,
    spread_groups,
    drop_dead,
    drop_saturation,
)


@checked_keywords
def lower(
    graph: Graph, *, io_type: str = "io_parallel", max_accumulator_bits: int | None = None
) -> Plan:
    """Plan hls4ml's layers for `graph`.

    Args:
        graph: the network.
        io_type: "io_parallel" or "io_stream".
        max_accumulator_bits: refuse a network that needs a wider accumulator.

    Raises:
        TargetError: names the node that cannot be computed exactly, why, and what would work.
    """
    capped = max_accumulator_bits is not None  # of the sums as they are: halves may take a bit
    lowered = apply(graph, *(one for one in PASSES if not (capped and one is fold_halves)))
    read = {op.output for op in lowered.inputs}
    for source in graph.inputs:
        if source.output not in read:
            raise TargetError(f"input {source.output!r}: no output depends on it: leave it out")
    return Lowering(lowered, io_type, max_accumulator_bits).run()
