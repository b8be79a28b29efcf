"""One stage of a streaming network: what comes in, how it is brought together, what is computed."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ...ir import Constant, FixedType, Op, Window
from .moves import Moves
from .products import StreamProduct


@dataclass(frozen=True, eq=False)
class Turns:
    """Streams that are read in turn: a Concat along rows or columns.

    Attributes:
        streams: name of each tensor, and the type of one position of it.
        beats: of each stream until the next one's turn.
    """

    streams: tuple[tuple[str, FixedType], ...]
    beats: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of a streaming network.

    Attributes:
        ops: operations on one window, each with its operands' names; the first reads `source`.
        constants: the constants they read.
        source: name of the tensor that comes in.
        pixel: type of one position of it, (channels, 1, 1).
        image: (rows, columns) that come in.
        window: which positions the stage sees at once, or None for one position at a time.
        lowest_pad: whether padding is the lowest code (maximum) instead of 0.
        sides: further tensors that come in, beat by beat with the first: name, type of a position.
        moves: how positions move before the stage sees them.
        turns: several streams as the one that comes in.
        known: constants among what comes in, which are streams too.
        product: how the first operation multiplies `source` and the one in `sides`.
    """

    ops: tuple[Op, ...]
    constants: tuple[Constant, ...]
    source: str
    pixel: FixedType
    image: tuple[int, int]
    window: Window | None
    lowest_pad: bool = False
    sides: tuple[tuple[str, FixedType], ...] = ()
    moves: Moves | None = None
    turns: Turns | None = None
    known: tuple[Constant, ...] = ()
    product: StreamProduct | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the tensors that come in."""
        if self.turns is not None:
            return tuple(name for name, _ in self.turns.streams)
        return (self.source, *(name for name, _ in self.sides))

    @property
    def label(self) -> str:
        """How messages call the stage: its first operation."""
        return self.ops[0].label

    @property
    def layer(self) -> str:
        """Name of the node that the stage begins with."""
        return self.ops[0].name

    @property
    def output(self) -> str:
        """Name of the tensor that goes out."""
        return self.ops[-1].output

    @property
    def patch(self) -> FixedType:
        """Type of what the operations see: (channels, window rows, window columns)."""
        if self.moves is not None:
            return self.moves.result
        if self.window is None:
            return self.pixel
        low, high = self.pixel.low, self.pixel.high
        if self.window.padded and not self.lowest_pad:
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        shape = (self.pixel.shape[0], *self.window.kernel)
        return FixedType(shape, self.pixel.frac_bits, low, high)

    @property
    def positions(self) -> tuple[int, int]:
        """(rows, columns) that go out."""
        if self.moves is not None:
            return self.moves.image
        if self.window is None:
            return self.image
        rows, columns = self.window.positions(self.image)
        return rows, columns

    @property
    def steps(self) -> int:
        """Cycles for one image of the sliding window or of the memory, or positions without one.

        Of two streams that are multiplied, the fewest: a sum in each.
        """
        if self.moves is not None:
            return self.moves.words.cycles
        if self.product is not None:
            return self.product.sums
        if self.window is None:
            return prod(self.image)
        pads = zip(self.image, self.window.pads, strict=True)
        return prod(size + sum(pad) for size, pad in pads)

    def types(self) -> dict[str, Any]:
        """Types of all tensors inside the stage."""
        types: dict[str, Any] = {self.source: self.patch, **dict(self.sides)}
        ops = self.ops
        if self.product is not None:
            types[ops[0].output], ops = self.product.kind, ops[1:]
        for op in (*self.constants, *ops):
            types[op.output] = op.result(*(types[name] for name in op.inputs))
        return types
