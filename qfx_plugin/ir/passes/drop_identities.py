"""`Identity` is another name of its operand: readers read that one."""

from __future__ import annotations

from ..graph import Graph
from ..ops import Identity, Op
from .edit import reading, with_ops


def drop_identities(graph: Graph) -> Graph:
    """The graph without `Identity`; an output that was one gets the name of what it read."""
    names: dict[str, str] = {}
    kept: list[Op] = []
    for op in graph.ops:
        op = reading(op, names)
        if isinstance(op, Identity):
            names[op.output] = op.inputs[0]
        else:
            kept.append(op)
    return with_ops(graph, kept, tuple(names.get(name, name) for name in graph.outputs))
