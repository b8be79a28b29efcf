"""A cycle model of the top that goes to Vitis HLS: a dataflow of processes, sample after sample.

In the canonical form (UG1399: a loop as all that a function has, with the pragma inside), a process
begins a sample as soon as its input is there, itself is free, and the channel behind it has room. A
dataflow that is called from a loop begins a sample when the one before has left it. Vitis HLS has
not measured either here.
"""

from __future__ import annotations

from collections.abc import Sequence

ROOM = 2
"""Samples that a channel between two processes holds: two buffers in turn."""

SETTLED = 16


def ends(cycles: Sequence[int], samples: int, *, canonical: bool = True) -> list[int]:
    """The cycle in which each sample has left the last process.

    Args:
        cycles: that each process takes for a sample.
        samples: how many follow each other.
        canonical: whether samples overlap.
    """
    begun: list[list[int]] = []
    left: list[int] = []
    for number in range(samples):
        row, there = [], 0 if canonical or not left else left[-1]
        for process, taken in enumerate(cycles):
            own = begun[-1][process] + taken if begun else 0
            full = process + 1 < len(cycles) and number >= ROOM
            room = begun[number - ROOM][process + 1] if full else 0
            row.append(max(there, own, room))
            there = row[-1] + taken
        begun.append(row)
        left.append(there)
    return left


def interval(cycles: Sequence[int], *, canonical: bool = True) -> int:
    """Cycles from one sample to the next, when many follow each other."""
    left = ends(cycles, SETTLED, canonical=canonical)
    return left[-1] - left[-2]
