"""`Identity` is another name of its operand: readers read that one."""

from __future__ import annotations

from ..graph import Graph
from ..ops import Identity, Op
from .edit import reading, with_ops


def drop_identities(graph: Graph, but_outputs: bool = False) -> Graph:
    """The graph without `Identity`.

    Args:
        graph: the network.
        but_outputs: keep those that are outputs, and so their names; else such an output gets the
            name of what it read.
    """
    names: dict[str, str] = {}
    kept: list[Op] = []
    for op in graph.ops:
        op = reading(op, names)
        kept_output = but_outputs and op.output in graph.outputs
        if isinstance(op, Identity) and not kept_output:
            names[op.output] = op.inputs[0]
        else:
            kept.append(op)
    return with_ops(graph, kept, tuple(names.get(name, name) for name in graph.outputs))
