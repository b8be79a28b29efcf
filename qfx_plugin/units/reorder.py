"""Tensors whose elements move, as streams: words in another order, through a memory.

`qfx_reorder` keeps words from where they come in until they are needed no more. How many that are,
and how long a sample takes, follows from the order alone. A beat of several channels is cut into
words where channels move together, so that a whole beat is a word where positions move only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MODULE = "qfx_reorder"

FRAMES = 4
"""Samples after which the pace is the lasting one."""


@dataclass(frozen=True, eq=False)
class Reorder:
    """Words of a sample in another order.

    Attributes:
        source: (words that go out,) int64: which word that comes in, or -1 for the padding.
        words: words that come in.
    """

    source: NDArray[np.int64]
    words: int

    @cached_property
    def frame(self) -> Reorder:
        """The shortest order that, over and over, is this one."""
        outputs = len(self.source)
        for count in range(1, outputs // 2 + 1):
            words, rest = divmod(self.words * count, outputs)
            if not rest and not outputs % count and self._repeats(count, words):
                return Reorder(self.source[:count], words)
        return self

    def _repeats(self, count: int, words: int) -> bool:
        """Whether the first `count` words that go out are of the first `words`, and so on."""
        rows = self.source.reshape(-1, count)
        moved = rows[0] + np.arange(len(rows))[:, np.newaxis] * words
        within = rows[0].max() < words
        return bool(within) and np.array_equal(np.where(rows[0] < 0, -1, moved), rows)

    @property
    def is_plain(self) -> bool:
        """Whether every word goes out as it comes in."""
        return np.array_equal(self.source, np.arange(self.words))

    @cached_property
    def kept(self) -> NDArray[np.int64]:
        """(words that go out,) the first word that is still needed, at each."""
        behind = np.where(self.source < 0, self.words, self.source)
        return np.minimum.accumulate(behind[::-1])[::-1]

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(words that go out,) the word that must be there: for the padding, the frame's first."""
        return np.maximum(self.source, 0)

    @cached_property
    def needed(self) -> int:
        """Words that have to be kept at once."""
        return int((self.places - np.minimum(self.kept, self.places)).max()) + 1

    @cached_property
    def depth(self) -> int:
        """Words that the memory holds: what is needed, or more if that is faster."""
        depth, most = max(2, 1 << (self.needed - 1).bit_length()), 2 * self.words
        fastest = self._cycles(max(depth, most))
        while self._cycles(depth) > fastest:
            depth *= 2
        return depth

    @cached_property
    def cycles(self) -> int:
        """Clock cycles for a sample, one after the other without pauses."""
        return self._cycles(self.depth)

    @property
    def word_bits(self) -> int:
        """Bits of an entry of the table."""
        return 2 * self.words.bit_length() + 1

    @property
    def table(self) -> str:
        """The table for `$readmemh`."""
        bits = self.words.bit_length()
        columns = zip(self.source.tolist(), self.kept.tolist(), self.places.tolist(), strict=True)
        words = [((at < 0) << (2 * bits)) | (kept << bits) | place for at, kept, place in columns]
        return "".join(f"{word:x}\n" for word in words)

    def parameters(self, bits: int, file: str, pad: str = "'0") -> dict[str, int | str]:
        """Of the module.

        Args:
            bits: of a word.
            file: name of the table's file.
            pad: the padding, as Verilog.
        """
        return {
            "W": bits, "IN": self.words, "OUT": len(self.source), "DEPTH": self.depth,
            "BLOCK": int(self.in_block_ram(bits)), "PAD": pad,
            "TABLE_STYLE": 1 if self.table_in_block_ram else 2,
            "FILE": f'"{file}"',
        }  # fmt: skip

    def in_block_ram(self, bits: int) -> bool:
        """Whether words of so many bits are kept there: not 64 words, nor few bits."""
        return self.depth > 64 and self.depth * bits > 2048

    @property
    def table_in_block_ram(self) -> bool:
        """Whether the table is: as the weights of other units."""
        return len(self.source) > 64 and len(self.source) * self.word_bits > 4096

    def _cycles(self, depth: int) -> int:
        """Of the last of some samples, as the module does it if nobody makes it wait."""
        kept, places = self.kept.tolist(), self.places.tolist()
        at = lead = frames = clock = before = 0
        while frames < FRAMES:
            clock += 1
            pull, push = lead > places[at], lead < kept[at] + depth
            lead += push
            if pull:
                at += 1
                if at == len(places):
                    at, lead, frames = 0, lead - self.words, frames + 1
                    before, clock = clock, 0
        return before
