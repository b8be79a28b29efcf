"""Beats of several channels as words that move whole: the fewer of them, the faster a reorder.

cut = cut_words(places, channels, positions)
cut.order                  # of the words of a sample; see `qfx_plugin.units.reorder`
cut.taken, cut.given       # which channels a word has where it comes in, and where it goes out
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import gcd

import numpy as np
from numpy.typing import NDArray

from .reorder import Reorder

ZERO = -1


@dataclass(frozen=True, eq=False)
class Words:
    """How beats are cut into words and put together again.

    Attributes:
        taken: (words of a beat that comes in, lanes) channels.
        given: (words of a beat that goes out, lanes) channels; those in none are always zero.
        order: of the words of a sample.
    """

    taken: NDArray[np.int64]
    given: NDArray[np.int64]
    order: Reorder

    @property
    def frame(self) -> Reorder:
        """The order that is repeated for a sample."""
        return self.order.frame

    @property
    def cycles(self) -> int:
        """Clock cycles for a sample."""
        frames = len(self.order.source) // len(self.frame.source)
        beats = max(len(self.order.source), self.order.words)
        return beats if self.frame.is_plain else frames * self.frame.cycles


def cut_words(places: NDArray[np.int64], channels: int, positions: int) -> Words:
    """The words for which a sample takes the fewest cycles.

    Args:
        places: (channels, positions) of the result: the operand's element, `ZERO` for a zero.
        channels: of the operand.
        positions: of the operand.
    """
    alive = np.flatnonzero((places != ZERO).any(axis=1))
    if not alive.size:  # nothing but zeros: one word that is always padding
        alive = np.arange(1)
    shown = places[alive]
    at = np.where(shown == ZERO, ZERO, shown % positions)
    channel = np.where(shown == ZERO, ZERO, shown // positions)
    alike = _alike(at)
    sizes = [len(group) for group in alike]
    cuts = [size for size in range(1, min(sizes) + 1) if reduce(gcd, sizes) % size == 0]
    made = [_cut(alive, alike, at, channel, size, positions) for size in reversed(cuts)]
    return min(made, key=lambda cut: max(cut.order.words, len(cut.order.source)))


def _alike(at: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Channels that show the same positions, in groups."""
    found: dict[bytes, list[int]] = {}
    for number, row in enumerate(at):
        found.setdefault(row.tobytes(), []).append(number)
    return [np.array(group) for group in found.values()]


def _cut(
    alive: NDArray[np.intp], alike: list[NDArray[np.intp]], at: NDArray[np.int64],
    channel: NDArray[np.int64], size: int, positions: int,
) -> Words:  # fmt: skip
    groups = np.concatenate([group.reshape(-1, size) for group in alike])
    moved = channel[groups].transpose(2, 0, 1)  # (positions, groups, lanes)
    rows = moved.reshape(-1, size)
    used = rows[rows[:, 0] != ZERO]
    taken = np.unique(used, axis=0) if used.size else np.zeros((1, size), dtype=np.int64)
    numbers = {row.tobytes(): number for number, row in enumerate(taken)}
    word = np.array([numbers.get(row.tobytes(), ZERO) for row in np.ascontiguousarray(rows)])
    position = at[groups[:, 0]].T.reshape(-1)
    source = np.where(word == ZERO, ZERO, position * len(taken) + word)
    return Words(taken, alive[groups], Reorder(source, positions * len(taken)))
