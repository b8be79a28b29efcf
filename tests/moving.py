"""Small networks whose elements move: orders, several readers, branches, constants of each element.

Like the rows of `tests/operations.py`, but for the targets only: what each rung adds to these is
the same as there.
"""

from __future__ import annotations

from qfx_plugin.ir import (
    Add,
    Concat,
    Constant,
    Conv,
    Gather,
    MaxPool,
    Multiply,
    Op,
    Pad,
    Quantize,
    Relu,
    Reshape,
    Slice,
    Transpose,
    Upsample,
    Window,
)
from tests.operations import ACT, CONV, Row, pooled, weight

PER_CHANNEL = Quantize("act", ("conv",), "act", 5, (3, 2))
"""Instead of `ACT`: where channels meet, binary points do."""


def known(*shape: int) -> Constant:
    """A constant image."""
    return Constant("k", (), "k", weight(*shape))


def part(name: str, source: str, *ranges: tuple[int, int, int]) -> Slice:
    """(start, size, step) of each axis."""
    starts, sizes, steps = zip(*ranges, strict=True)
    return Slice(name, (source,), name, starts, sizes, steps)


def reshape(name: str, source: str, *shape: int) -> Reshape:
    """Into another shape."""
    return Reshape(name, (source,), name, shape)


def turn(name: str, source: str, *order: int) -> Transpose:
    """Axes in another order."""
    return Transpose(name, (source,), name, order)


ALL, ONE = (0, 4, 1), pooled(MaxPool, 4, 4)
SPLIT = (part("s0", "act", (0, 1, 1), ALL, ALL), part("s1", "act", (1, 1, 1), ALL, ALL))

MOVES: dict[str, tuple[Op, ...]] = {
    "crop": (part("part", "act", (1, 2, -1), (1, 2, 2), (0, 3, 1)),),
    "pad channels and sides": (Pad("pad", ("act",), "pad", ((1, 0), (0, 1), (2, 0))),),
    "rows and zeros": (Gather("pick", ("act",), "pick", 2, (3, -1, 0, 0)),),
    "nothing but zeros": (
        Pad("pad", ("act",), "pad", ((0, 0), (0, 2), (0, 0))),
        part("part", "pad", (0, 2, 1), (4, 2, 1), ALL),
    ),
    "repeat": (Upsample("up", ("act",), "up", (2, 3)),),
    "pixel shuffle": (
        reshape("a", "act", 1, 2, 1, 4, 4),
        turn("b", "a", 0, 3, 1, 4, 2),
        reshape("c", "b", 1, 8, 4),
    ),
    "four axes": (
        reshape("a", "act", 2, 2, 2, 4),
        Relu("b", ("a",), "b"),
        turn("c", "b", 1, 0, 3, 2),
        Constant("k", (), "k", weight(1, 2, 1, 2)),
        Multiply("d", ("c", "k"), "d"),
    ),
    "turn and convolve": (
        turn("t", "act", 0, 2, 1),
        Conv("c2", ("t",), "c2", weight(2, 2, 2, 2), None, Window.plain(2, 2)),
    ),
    "image of another": (
        reshape("a", "act", 4, 2, 4),
        reshape("b", "a", 32),
        reshape("c", "b", 2, 8, 2),
        pooled(MaxPool, 2, 2, source="c"),
    ),
    "part of a vector": (reshape("a", "act", 32), part("b", "a", (3, 9, 3))),
    "vector": (ONE, reshape("a", "pool", 2), Gather("b", ("a",), "b", 0, (1, 0, 1))),
    "split": (
        *SPLIT,
        Relu("r", ("s0",), "r"),
        Add("sum", ("r", "s1"), "sum"),
        Multiply("mul", ("sum", "s0"), "mul"),
        Concat("cat", ("mul", "s1", "s0"), "cat"),
    ),
    "rows of three": (Concat("cat", ("act", "q", "act"), "cat", 1),),
    "columns": (Concat("cat", ("act", "q"), "cat", 2),),
    "stack": (
        reshape("a", "act", 2, 1, 4, 4),
        reshape("b", "q", 2, 1, 4, 4),
        Concat("cat", ("a", "b"), "cat", 1),
    ),
    "constant rows": (known(2, 1, 4), Concat("cat", ("k", "act"), "cat", 1)),
    "constant rows behind": (known(2, 1, 4), Concat("cat", ("act", "k", "q"), "cat", 1)),
    "constant channels": (known(1, 4, 4), Concat("cat", ("act", "k"), "cat")),
    "one row for all": (known(1, 1, 4), Add("add", ("k", "act"), "add")),
    "an image as factor": (known(2, 4, 4), Multiply("mul", ("act", "k"), "mul")),
    "one pixel for an image": (ONE, known(2, 4, 4), Multiply("mul", ("pool", "k"), "mul")),
    "sum with one pixel": (ONE, Add("add", ("pool", "act"), "add")),
    "sum with one row": (pooled(MaxPool, 4, 1), Add("add", ("act", "pool"), "add")),
    "product with one channel": (SPLIT[1], Multiply("mul", ("act", "s1"), "mul")),
    "sum of two orders": (turn("t", "act", 0, 2, 1), Add("add", ("t", "q"), "add")),
    "pool with gaps": (
        pooled(MaxPool, 1, 2, strides=(2, 1), pads=((0, 0), (1, 0))),
    ),
    "square": (Multiply("mul", ("act", "act"), "mul"),),
}  # fmt: skip

ROWS = tuple(
    Row(name + about, (CONV, act, *ops))
    for act, about in ((ACT, ""), (PER_CHANNEL, ", points per channel"))
    for name, ops in MOVES.items()
)
