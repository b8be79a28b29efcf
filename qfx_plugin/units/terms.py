"""Terms that several units are counted with: memories in LUTs and in block RAMs, products."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, reduce
from importlib.resources import files
from math import ceil
from operator import and_, or_

Terms = list[float]

_HALF_COST, _MUX_COST = 129.0, 0.33
"""What Yosys weighs a half of a block RAM with, and a bit of an input of the multiplexer."""


@cache
def all_weights() -> dict[str, Sequence[float]]:
    """The fitted weights of terms by the operation of FINN that has them."""
    text = (files(__package__) / "templates" / "estimates.json").read_text(encoding="utf-8")
    return dict(json.loads(text)["weights"])


def memory_luts(text: str, width: int) -> int:
    """LUTs of a memory with these words: columns that are constant or equal cost nothing."""
    words = [int(line, 16) for line in text.split()]
    if len(words) <= 2:
        return 0
    columns = {
        sum(((word >> bit) & 1) << i for i, word in enumerate(words)) for bit in range(width)
    }
    columns -= {0, (1 << len(words)) - 1}
    return len(columns) * ceil(len(words) / 64)


def varying_bits(text: str) -> int:
    """Bits of a memory's words that are not the same in all of them; the others need no memory."""
    return varying([int(line, 16) for line in text.split()])


def varying(words: Sequence[int]) -> int:
    """Bits that are not the same in all words."""
    return (reduce(or_, words) & ~reduce(and_, words)).bit_count()


def block_rams(width: int, depth: int) -> tuple[int, int]:
    """Halves of block RAMs for `depth` words of `width` bits, and how many are one above another.

    As Yosys packs them: words that are far apart may share a row, so that a memory that is twice as
    deep as a block is one of half the depth and twice the width, with a multiplexer behind it,
    which counts, too.
    """
    shapes = [(1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512)]
    found = []
    for wide, deep in shapes:
        stacked = ceil(depth / deep)
        halves = ceil(width * stacked / wide)
        found.append((halves * _HALF_COST + width * stacked * _MUX_COST, halves, stacked))
    _, halves, stacked = min(found)
    return halves, stacked


def slices(left: int, right: int) -> int:
    """DSP48E2 slices of a signed product, of 27 by 18 bits each; none for very small ones."""
    narrow, wide = sorted((left, right))
    if narrow < 2 or narrow + wide < 9:
        return 0
    return 1 if narrow <= 18 and wide <= 27 else 1 + -(-(narrow - 18) // 17)


def lut_memory(width: int, depth: int) -> Terms:
    """Bits of memories in LUTs: up to 64 words, up to 32 in half a LUT each; the same of deeper
    ones, and those again for each 64 words."""
    words = 1 << max((depth - 1).bit_length(), 6)
    return [
        width * (words <= 64) * (0.5 if depth <= 32 else 1.0),
        float(width * (words > 64)),
        width * (words > 64) * words / 64,
    ]
