"""What is computed from constants alone is a constant."""

from __future__ import annotations

import numpy as np

from ..exact import INT64_EXACT
from ..graph import Graph
from ..ops import Constant, Op
from ..types import FixedType, TensorType, Weight
from .edit import with_ops


def fold_constants(graph: Graph) -> Graph:
    """The graph with a `Constant` in place of each operation that reads nothing else."""
    constants: dict[str, Constant] = {}
    ops: list[Op] = []
    for op in graph.ops:
        if op.inputs and all(name in constants for name in op.inputs):
            op = _computed(op, [constants[name] for name in op.inputs]) or op
        if isinstance(op, Constant):
            constants[op.output] = op
        ops.append(op)
    return with_ops(graph, ops)


def _computed(op: Op, operands: list[Constant]) -> Constant | None:
    """The codes that the interpreter computes; None if it would not, or for a single number."""
    types: list[TensorType] = [one.result() for one in operands]
    kind = op.result(*types)
    if not isinstance(kind, FixedType) or not kind.shape or kind.peak >= INT64_EXACT:
        return None
    codes = op.run([one.run((), (), one.result()) for one in operands], types, kind)[0]
    signed = bool((codes < 0).any())
    bits = max(int(abs(int(edge))).bit_length() for edge in (codes.min(), codes.max())) + signed
    return Constant(
        op.name,
        (),
        op.output,
        Weight(np.asarray(codes), kind.frac_bits, max(bits, 1 + signed), signed),
    )
