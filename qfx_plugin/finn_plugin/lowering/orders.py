"""In which order the elements of each tensor are streamed.

FINN streams images channels last: behind a Flatten the elements stand in another order than in the
network. Where such a vector meets another one, or a vector becomes an image, all must be streamed
alike. Nothing has to be moved for that: a Linear computes its outputs in any order, and the host
sends an input in any.
"""

from __future__ import annotations

from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...ir import Arrangement, Concat, Constant, Elementwise, FixedType, Graph, Linear, Op, View

Order: TypeAlias = NDArray[np.int64] | None
"""Which element of the network's tensor each element of the stream is; None: channels last."""


def elements(shape: tuple[int, ...], order: Order = None) -> NDArray[np.int64]:
    """The order spelt out, for a tensor of this shape."""
    if order is not None:
        return order
    channels = shape[0] if shape else 1
    return np.ascontiguousarray(np.arange(prod(shape)).reshape(channels, -1).T).reshape(-1)


def moved(op: View, shape: tuple[int, ...], order: Order) -> NDArray[np.int64]:
    """The order behind a view of a tensor of this shape: the stream stays."""
    return np.argsort(_shown(op, shape))[elements(shape, order)]


def stream_orders(graph: Graph) -> dict[str, Order]:
    """The order of every integer tensor, chosen where the network leaves a choice."""
    return _Orders(graph).chosen()


def _shown(op: View, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Which element of its operand each element of a view is."""
    return op.source(shape).reshape(-1)


class _Orders:
    def __init__(self, graph: Graph) -> None:
        self.ops = graph.ops
        constants = {op.output for op in graph.ops if isinstance(op, Constant)}
        types = graph.types()
        self.shapes = {
            name: kind.shape
            for name, kind in types.items()
            if isinstance(kind, FixedType) and name not in constants
        }
        self.known: dict[str, Order] = {}

    def chosen(self) -> dict[str, Order]:
        while True:
            self.spread()
            free = [name for name in self.shapes if name not in self.known]
            if not free:
                return self.known
            self.known[free[0]] = None

    def spread(self) -> None:
        """Follow what is known, both ways, until nothing new is found."""
        count = -1
        while count != len(self.known):
            count = len(self.known)
            for op in self.ops:
                self.forward(op, [name for name in op.inputs if name in self.shapes])
            for op in reversed(self.ops):
                self.backward(op, [name for name in op.inputs if name in self.shapes])

    def forward(self, op: Op, sources: list[str]) -> None:
        if op.output not in self.shapes or op.output in self.known:
            return
        found = [name for name in sources if name in self.known]
        if isinstance(op, View):
            if found:
                shape = self.shapes[found[0]]
                self.known[op.output] = moved(op, shape, self.known[found[0]])
        elif isinstance(op, Elementwise) and sources:
            if found:
                self.known[op.output] = self.known[found[0]]
        elif sources and (len(self.shapes[op.output]) > 1 or isinstance(op, Arrangement)):
            self.known[op.output] = None  # what picks elements puts them where they belong
        elif isinstance(op, Concat) and len(found) == len(sources):
            parts = [elements(self.shapes[name], self.known[name]) for name in sources]
            starts = np.cumsum([0, *map(len, parts)])
            pairs = zip(parts, starts[:-1], strict=True)
            self.known[op.output] = np.concatenate([part + start for part, start in pairs])

    def backward(self, op: Op, sources: list[str]) -> None:
        free = [name for name in sources if name not in self.known]
        if not free:
            return
        if isinstance(op, View):
            if op.output in self.known:
                order = elements(self.shapes[op.output], self.known[op.output])
                self.known[free[0]] = _shown(op, self.shapes[free[0]])[order]
        elif isinstance(op, Elementwise):
            for name in free if op.output in self.known else []:
                self.known[name] = self.known[op.output]
        elif not isinstance(op, Linear | Concat):
            self.known.update(dict.fromkeys(free))
