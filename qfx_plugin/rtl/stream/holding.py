"""How long each reader of a stream leaves it waiting for what it is joined with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from .stage import Stage

HANDSHAKES = 6
"""Cycles of a stage besides its adder graph: registers of its window or memory, its buffer."""


def holds(stages: Sequence[Stage], rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """By tensor, cycles that it waits in front of each stage that reads it.

    A stage that joins streams waits for the one that comes through the most pipelines; the others
    are held meanwhile, or what they are made of.

    Args:
        stages: of the network.
        rows: of the report, for each of them.
    """
    delays = [int(row.get("latency", 0)) + HANDSHAKES + int(row.get("simd", 0)).bit_length()
              for row in rows]  # fmt: skip
    arrivals: dict[str, int] = defaultdict(int)
    for stage, delay in zip(stages, delays, strict=True):
        arrivals[stage.output] = delay + max(arrivals[name] for name in stage.sources)
    latest: dict[str, int] = {}
    reads = []
    for stage, delay in zip(reversed(stages), reversed(delays), strict=True):
        ready = max(arrivals[name] for name in stage.sources)
        reads.append(max(ready, latest.get(stage.output, 0) - delay))
        for name in stage.sources:
            latest[name] = max(latest.get(name, 0), reads[-1])
    found = defaultdict(list)
    for stage, read in zip(stages, reversed(reads), strict=True):
        for name in stage.sources:
            found[name].append(read - arrivals[name])
    return found
