"""How passes write graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ..graph import Graph
from ..ops import Op


def with_ops(graph: Graph, ops: Iterable[Op], outputs: tuple[str, ...] | None = None) -> Graph:
    """The graph with other operations; itself if they are the same."""
    changed = tuple(ops)
    outputs = graph.outputs if outputs is None else outputs
    same = len(changed) == len(graph.ops) and all(map(_is, changed, graph.ops))
    return (
        graph if same and outputs == graph.outputs else replace(graph, ops=changed, outputs=outputs)
    )


def mapped(graph: Graph, change: Callable[[Op], Iterable[Op]]) -> Graph:
    """Every operation replaced by those that `change` gives for it."""
    return with_ops(graph, (new for op in graph.ops for new in change(op)))


def reading(op: Op, names: Mapping[str, str]) -> Op:
    """The operation with other names of its operands; itself if they are the same."""
    inputs = tuple(names.get(name, name) for name in op.inputs)
    return op if inputs == op.inputs else replace(op, inputs=inputs)


def is_read_once(graph: Graph, tensor: str) -> bool:
    """Whether exactly one operation reads `tensor`, and nobody outside."""
    return len(graph.consumers(tensor)) == 1 and tensor not in graph.outputs


def _is(one: Op, other: Op) -> bool:
    return one is other
