"""How much of a sample waits at a fork until the longest branch arrives where they meet.

    fork ─┬─▶ buffer ─▶ whole-image pool ─▶ conv ─▶ repeated ─▶ join
          └─▶ buffer ────────────────────────────────────────────▲

Time is counted in samples, at the network's pace: beats come evenly, and a stage gives its first
one when all that follow can go out evenly, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from .stage import Stage
from .stage_cycles import ends
from .stages import Stages

_FOLDED = 8
"""Cycles in the registers of a folded unit, at most."""


def held(
    stages: Stages, rows: Sequence[Mapping[str, Any]], interval: int
) -> dict[str, list[float]]:
    """Samples that wait in front of each reader of a tensor, in the order of the stages.

    Args:
        stages: the stages.
        rows: of each stage, its row in the report.
        interval: cycles from a sample to the next one.
    """
    starts: dict[str, float] = {}
    waits: list[list[float]] = []
    for stage, row in zip(stages, rows, strict=True):
        come = [starts.get(name, 0.0) for name in stage.sources]
        turns = _turns(stage)
        begin = max(at + late for at, (_, late) in zip(come, turns, strict=True))
        waits.append([begin + turn - at for at, (turn, _) in zip(come, turns, strict=True)])
        starts[stage.output] = begin + _fill(stage) + _latency(stage, row) / interval
    found: dict[str, list[float]] = {name: [0.0] for name, _ in stages.ends.values()}
    for stage, wait in zip(reversed(stages), reversed(waits), strict=True):
        behind = found.get(stage.output, [0.0])
        after = behind[0] if len(behind) == 1 else 0.0  # a fork has buffers of its own
        for name, samples in reversed(list(zip(stage.sources, wait, strict=True))):
            found[name] = [samples + after, *found.get(name, [])]
    return found


def _turns(stage: Stage) -> list[tuple[float, float]]:
    """Of each stream, when its turn is, and how late its stage begins to take it evenly."""
    if stage.product is not None:  # which keeps both, and takes a sample in bursts
        return [(1.0, 0.0)] * len(stage.sources)
    if stage.turns is None:
        return [(0.0, 0.0)] * len(stage.sources)
    total = sum(stage.turns.beats)
    begins = np.cumsum([0, *stage.turns.beats]) / total
    return [
        (float(at), max(0.0, 1 - float(end))) for at, end in zip(begins, begins[1:], strict=False)
    ]


def _fill(stage: Stage) -> float:
    """Samples from the first beat in to the first one out."""
    if stage.product is not None:
        return 1.0
    if stage.moves is not None:
        places, known = stage.moves.words.order.source, stage.moves.positions
        needed = np.asarray(places) / (known * len(stage.moves.words.taken))
    elif stage.window is not None:
        needed = ends(stage) / stage.steps
    else:
        return 0.0
    return max(0.0, float(np.max(needed - np.arange(len(needed)) / len(needed))))


def _latency(stage: Stage, row: Mapping[str, Any]) -> float:
    """Cycles in the registers of a stage, and of the buffers around it."""
    cycles = int(row.get("latency", 0)) + 2 + (stage.window is not None)
    if stage.moves is not None:
        cycles += 3
    if row["style"] == "folded":
        cycles += _FOLDED + -(-int(row["cycles"]) // prod(stage.positions))
    return cycles
