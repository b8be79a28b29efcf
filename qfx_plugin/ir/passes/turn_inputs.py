"""A Transpose behind the cast of an input, in front of it: there the host does it."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..ops import Elementwise, Op, Quantize, Transpose
from ..types import RealType
from .edit import reading, with_ops


def turn_inputs(graph: Graph) -> Graph:
    """The graph with inputs turned as floats where every reader of their codes turns them alike."""
    types = graph.types()
    for op in graph.ops:
        if isinstance(op, Quantize) and isinstance(types[op.inputs[0]], RealType):
            chain, turns = _followed(graph, op)
            if turns:
                graph = _turned(graph, chain, turns)
    return graph


def _followed(graph: Graph, cast: Quantize) -> tuple[list[Op], list[Transpose]]:
    """Element-wise operations from a cast on, and the equal Transposes that alone read the last."""
    chain: list[Op] = []
    readers: tuple[Op, ...] = (cast,)
    while len(readers) == 1 and _looks_at_no_place(readers[0]):
        chain += readers
        tensor = readers[0].output
        readers = () if tensor in graph.outputs else graph.consumers(tensor)
    turns = [op for op in readers if isinstance(op, Transpose)]
    alike = len({op.order for op in turns}) == 1 and len(turns) == len(readers)
    return chain, turns if chain and alike else []


def _looks_at_no_place(op: Op) -> bool:
    return isinstance(op, Elementwise) and op.arity == 1 and not op.differs_by_channel


def _turned(graph: Graph, chain: list[Op], turns: list[Transpose]) -> Graph:
    """The Transposes as one, in front; the last of the chain gets the name of the first of them."""
    first, *others = turns
    if any(op.output in graph.outputs for op in others):
        return graph
    names = {op.output: f"{op.output}:turned" for op in chain[:-1]}
    names |= {op.output: first.output for op in (chain[-1], *others)}
    source = f"{chain[0].inputs[0]}:turned"
    ops: list[Op] = []
    for op in graph.ops:
        if op is chain[0]:
            ops.append(replace(first, inputs=op.inputs, output=source))
            ops.append(replace(op, inputs=(source,), output=names[op.output]))
        elif op in chain:
            ops.append(replace(reading(op, names), output=names[op.output]))
        elif op not in turns:
            ops.append(reading(op, names))
    return with_ops(graph, ops)
