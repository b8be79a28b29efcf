"""Elements that move between the beats of a stream: by wires, or through a memory.

Behind a stage a tensor may be seen otherwise than its stream carries it. Where the channels of each
position move alike, that is wiring; where positions move, words of a beat go through a memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir import Arrangement, FixedType
from ...simulation.lanes import Lanes
from ...units.words import ZERO, Words, cut_words
from ..graph.kernel import code_lanes


@dataclass(frozen=True, eq=False)
class Wires(Arrangement):
    """Channels of a stream's beat, or of a whole window, as channels of another.

    Attributes:
        picks: for each new channel, the element of the operand; `ZERO` for a zero.
    """

    picks: NDArray[np.int64]

    def arranged(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One position."""
        return (len(self.picks), 1, 1)

    def placed(self, samples: NDArray[Any], fill: Any) -> NDArray[Any]:
        """The elements that are picked."""
        shown = samples.reshape(samples.shape[0], -1)[:, self.picks]
        shown[:, self.picks == ZERO] = fill
        return np.asarray(shown.reshape(samples.shape[0], -1, 1, 1))

    def fills(self, shape: tuple[int, ...]) -> bool:
        """Whether there are zeros."""
        return bool((self.picks == ZERO).any())


@dataclass(frozen=True, eq=False)
class Moves:
    """A tensor that is seen otherwise than its stream carries it.

    Attributes:
        pixel: type of one position of the stream, (channels, 1, 1).
        positions: of the stream.
        shown: (*sample shape) the stream's element, channel by channel; `ZERO` for a zero.
    """

    pixel: FixedType
    positions: int
    shown: NDArray[np.int64]

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(channels, positions) of the result."""
        return self.shown.reshape(*(self.shown.shape[:1] or (1,)), -1)

    @property
    def image(self) -> tuple[int, int]:
        """(rows, columns) of the result."""
        return two(self.shown.shape[1:])

    @property
    def is_plain(self) -> bool:
        """Whether the stream carries it just so."""
        return len(self.places) == self.pixel.shape[0] and self.keeps_order

    @property
    def keeps_order(self) -> bool:
        """Whether every element of the stream is seen once, in order."""
        flat = self.shown.reshape(-1)
        return flat.size == self.elements and np.array_equal(flat, np.arange(flat.size))

    @property
    def elements(self) -> int:
        """Elements of the stream's sample."""
        return self.positions * self.pixel.shape[0]

    @property
    def is_permutation(self) -> bool:
        """Whether every element of the stream is seen once."""
        return np.array_equal(np.sort(self.shown, axis=None), np.arange(self.elements))

    @property
    def wires(self) -> NDArray[np.int64] | None:
        """The channel that each new channel shows at every position; None if they move more."""
        if self.places.shape[1] != self.positions:
            return None
        first = self.places[:, 0]
        channels = np.where(first == ZERO, ZERO, first // self.positions)
        wanted = channels[:, np.newaxis] * self.positions + np.arange(self.positions)
        wanted[channels == ZERO] = ZERO
        return channels if np.array_equal(wanted, self.places) else None

    @cached_property
    def words(self) -> Words:
        """How beats are cut for the memory."""
        return cut_words(self.places, self.pixel.shape[0], self.positions)

    @cached_property
    def result(self) -> FixedType:
        """Type of one position of the result: each channel holds what it shows."""
        pixel = self.pixel.channels()
        rows = []
        for row in self.places:
            shown = np.unique(row[row != ZERO] // self.positions)
            if not shown.size:
                rows.append((0, 0, 0))
                continue
            bits = int(pixel.frac_bits[shown].max())
            up = [1 << (bits - int(pixel.frac_bits[channel])) for channel in shown]
            low = min(int(pixel.low[c]) * u for c, u in zip(shown, up, strict=True))
            high = max(int(pixel.high[c]) * u for c, u in zip(shown, up, strict=True))
            zeros = bool((row == ZERO).any())
            rows.append((bits, min(low, 0) if zeros else low, max(high, 0) if zeros else high))
        points, lows, highs = zip(*rows, strict=True)
        least, most = np.array(lows, dtype=object), np.array(highs, dtype=object)
        return FixedType((len(rows), 1, 1), np.array(points), least, most)

    @cached_property
    def word(self) -> FixedType:
        """Type of a word: each lane holds every channel that it carries."""
        picks = self.words.taken.T  # (lanes, words of a beat)
        return Moves(self.pixel, 1, picks).result

    @property
    def memory_bits(self) -> int:
        """Bits of the memory and of its table."""
        frame = self.words.frame
        if frame.is_plain:
            return 0
        table = frame.word_bits * len(frame.source)
        return frame.depth * code_lanes(self.word).bits + table


def two(spatial: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of any number of spatial axes."""
    *rows, columns = (1, *spatial) if spatial else (1, 1)
    return prod(rows), columns


def pixel_of(kind: FixedType) -> FixedType:
    """Type of one position."""
    return FixedType((kind.shape[0], 1, 1), kind.frac_bits, kind.low, kind.high)


def enclosing(pixels: Sequence[FixedType]) -> FixedType:
    """A type that holds all of them, channel by channel."""
    pixels = [pixel.channels() for pixel in pixels]
    bits = np.maximum.reduce([pixel.frac_bits for pixel in pixels])
    lows, highs = zip(*(pixel.aligned(bits) for pixel in pixels), strict=True)
    return FixedType(pixels[0].shape, bits, np.minimum.reduce(lows), np.maximum.reduce(highs))


def lane_points(kind: FixedType) -> list[int]:
    """The binary point of each channel of a beat."""
    return [int(bits) for bits in kind.channels().frac_bits]


def lane_starts(lanes: Lanes) -> list[int]:
    """The lowest bit of each lane."""
    return [int(start) for start in np.cumsum((0, *lanes.widths[:-1]))]
