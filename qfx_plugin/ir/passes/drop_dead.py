"""What no output depends on."""

from __future__ import annotations

from ..graph import Graph
from ..ops import Op
from .edit import with_ops


def drop_dead(graph: Graph) -> Graph:
    """The graph without operations that no output needs."""
    needed = set(graph.outputs)
    kept: list[Op] = []
    for op in reversed(graph.ops):
        if op.output in needed:
            needed.update(op.inputs)
            kept.append(op)
    return with_ops(graph, reversed(kept))
