"""Cycles that a stage of a streaming network takes for a sample, image after image.

An adder graph keeps up with its sliding window, which walks over one place of the padded image in
each cycle. A folded unit and its window wait for each other: the window stands still until its
window is taken, and the unit waits where the window walks on without completing one, as at the end
of a row or, with a stride, over whole rows. So the longer of the two counts, window by window.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from .stage import Stage

IMAGES = 4
"""Images after which the pace of a stage is its lasting one."""


def gaps(stage: Stage) -> NDArray[np.int64]:
    """(positions,) places that the window walks over from one complete window to the next.

    The first is counted from the last one of the image before.
    """
    window = stage.window
    if window is None:
        return np.ones(prod(stage.positions), dtype=np.int64)
    padded = [size + sum(pad) for size, pad in zip(stage.image, window.pads, strict=True)]
    ends = [
        (kernel - 1) * dilation + stride * np.arange(count)
        for kernel, dilation, stride, count in zip(
            window.kernel, window.dilations, window.strides, stage.positions, strict=True
        )
    ]
    places = (ends[0][:, np.newaxis] * padded[1] + ends[1]).reshape(-1)
    return np.diff(places, prepend=places[-1] - prod(padded))


def folded_cycles(stage: Stage, words: int, blocks: int) -> int:
    """Cycles for a sample of a stage with a folded unit.

    Args:
        stage: the stage.
        words: beats in which the unit takes a window.
        blocks: how often it goes through them.
    """
    steps = gaps(stage)
    cycles = words * blocks
    if steps.max() <= cycles:
        return len(steps) * cycles
    taken, begun, ends = 0, 0, []  # the window leaves its register; the unit begins with it
    walks = steps.tolist()
    for _ in range(IMAGES):
        for walk in walks:
            # `qfx_unpack` has room again with the unit's last fresh word.
            taken = max(taken + walk, begun + words - 1)
            begun = max(taken + 1, begun + cycles)
        ends.append(begun)
    return ends[-1] - ends[-2]
