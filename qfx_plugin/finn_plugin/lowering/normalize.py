"""The graph in the shape that FINN's operations have: layers without bias, no detours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...ir import Add, Constant, Conv, Graph, Identity, Linear, Op
from .hoist import hoist


def normalise(graph: Graph) -> Graph:
    """The same function: biases become constant additions, identities and dead ends disappear, and
    what stands behind a Flatten without need moves in front of it.

    A layer's sums keep their own name plus `:sums`; the sum with the bias keeps the layer's name.
    """
    aliases: dict[str, str] = {}
    ops: list[Op] = []
    for op in graph.ops:
        op = replace(op, inputs=tuple(aliases.get(name, name) for name in op.inputs))
        if isinstance(op, Identity):
            aliases[op.output] = op.inputs[0]
        else:
            ops.extend(_split_bias(op, graph))
    outputs = tuple(aliases.get(name, name) for name in graph.outputs)
    needed = set(outputs)
    for op in reversed(ops):
        if op.output in needed:
            needed.update(op.inputs)
    live = tuple(op for op in ops if op.output in needed)
    return hoist(replace(graph, ops=live, outputs=outputs).verify())


def _split_bias(op: Op, graph: Graph) -> Iterator[Op]:
    if not isinstance(op, Linear | Conv) or op.bias is None:
        yield op
        return
    sums, bias = f"{op.output}:sums", f"{op.output}:bias"
    rank = len(graph.types()[op.output].shape)
    codes = op.bias.codes.reshape(-1, *[1] * (rank - 1))
    points = np.broadcast_to(op.bias.frac_bits, (len(codes),))
    yield replace(op, bias=None, output=sums)
    yield Constant(op.name, (), bias, replace(op.bias, codes=codes, frac_bits=points))
    yield Add(op.name, (sums, bias), op.output)
