"""Rows of a layer whose sums nothing reads are zero: neurons behind which all weights are zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph
from ..ops import Conv, Elementwise, Linear, Op, Pool, Reshape, Weighted
from ..types import FixedType
from .edit import with_ops

Live = NDArray[np.bool_]


def silence_dead(graph: Graph) -> Graph:
    """The graph with weights and biases of such rows zero, through all layers; shapes stay."""
    return _Silencer(graph).run()


class _Silencer:
    """From the outputs to the inputs, so that a silent neuron reads nothing itself."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types = graph.types()
        self.ops: dict[str, Op] = {op.output: op for op in graph.ops}
        self.live: dict[str, Live] = {}

    def run(self) -> Graph:
        for op in reversed(self.graph.ops):
            kind = self.types[op.output]
            self.live[op.output] = live = self._live(op.output, kind)
            if isinstance(op, Weighted) and not live.all():
                self.ops[op.output] = _silenced(op, live)
        return with_ops(self.graph, self.ops.values())

    def _live(self, tensor: str, kind: Any) -> Live:
        """(channels,) whether anything depends on each."""
        channels = kind.shape[0] if isinstance(kind, FixedType) and kind.shape else 1
        if tensor in self.graph.outputs or not isinstance(kind, FixedType):
            return np.ones(channels, dtype=bool)
        live = np.zeros(channels, dtype=bool)
        for reader in self.graph.consumers(tensor):
            live |= self._read(self.ops[reader.output], kind, channels)
        return live

    def _read(self, op: Op, kind: FixedType, channels: int) -> Live:
        """(channels,) which of them one operation needs."""
        behind = self.live[op.output]
        if len(op.inputs) == 1:
            if isinstance(op, Elementwise | Pool) and len(behind) == channels:
                return behind
            if isinstance(op, Reshape) and len(op.shape) == 1:
                return np.asarray(behind.reshape(channels, -1).any(1))
            if isinstance(op, Linear) and len(kind.shape) == 1:
                return np.asarray((op.weight.codes != 0).any(0))
            if isinstance(op, Conv):
                groups = op.weight.codes.reshape(op.groups, -1, *op.weight.codes.shape[1:])
                return np.asarray((groups.swapaxes(1, 2) != 0).reshape(channels, -1).any(1))
        return np.ones(channels, dtype=bool)


def _silenced(op: Weighted, live: Live) -> Weighted:
    """Itself, where the rows are zero already."""
    bias = op.bias
    dead = op.weight.codes[~live].any() or (bias is not None and bias.codes[~live].any())
    if not dead:
        return op
    mask = live.reshape(-1, *[1] * (op.weight.codes.ndim - 1))
    if bias is not None:
        bias = replace(bias, codes=np.where(live, bias.codes, 0))
    return replace(
        op, weight=replace(op.weight, codes=np.where(mask, op.weight.codes, 0)), bias=bias
    )
