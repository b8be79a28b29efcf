"""Zeros in front of a convolution as its own padding, as many as a window has to itself.

Targets pad within the window: what is more than that stays a `Pad` in front.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..ops import AveragePool, Conv, Op, Pad, SumPool
from .edit import mapped

Pads = tuple[tuple[int, int], ...]


def share_pads(graph: Graph) -> Graph:
    """The graph with the padding of each window shared between it and a `Pad`.

    A `Pad` that somebody else reads stays as well; see `drop_dead`.
    """
    return mapped(graph, lambda op: _shared(op, graph))


def _shared(op: Op, graph: Graph) -> tuple[Op, ...]:
    if not isinstance(op, Conv | SumPool | AveragePool):
        return (op,)
    source, outer = op.inputs[0], _zeros(graph.producer(op.inputs[0]))
    if outer is not None:
        source = graph.producer(source).inputs[0]
    elif op.window.pads_within:
        return (op,)
    added = outer or ((0, 0),) * len(op.window.pads)
    total = [(a + c, b + d) for (a, b), (c, d) in zip(added, op.window.pads, strict=True)]
    own: Pads = tuple(
        (min(first, size - 1), min(last, size - 1))
        for (first, last), size in zip(total, op.window.extent, strict=True)
    )
    rest = tuple((a - c, b - d) for (a, b), (c, d) in zip(total, own, strict=True))
    window = replace(op.window, pads=own)
    if not any(map(any, rest)):
        return (replace(op, inputs=(source,), window=window),)
    pad = Pad(f"{op.name}:pad", (source,), f"{op.output}:padded", ((0, 0), *rest))
    return pad, replace(op, inputs=(pad.output,), window=window)


def _zeros(op: Op) -> Pads | None:
    """The zeros that `op` adds behind the channels, if it does nothing else."""
    if not isinstance(op, Pad) or op.mode != "constant" or any(op.pads[0]):
        return None
    return op.pads[1:]
