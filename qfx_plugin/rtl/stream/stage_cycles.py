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


def ends(stage: Stage) -> NDArray[np.int64]:
    """(positions,) places of the padded image at which a window is complete."""
    window = stage.window
    if window is None:
        return np.arange(prod(stage.positions), dtype=np.int64)
    corners = [
        (kernel - 1) * dilation + stride * np.arange(count)
        for kernel, dilation, stride, count in zip(
            window.kernel, window.dilations, window.strides, stage.positions, strict=True
        )
    ]
    width = stage.image[1] + sum(window.pads[1])
    return (corners[0][:, np.newaxis] * width + corners[1]).reshape(-1)


def gaps(stage: Stage) -> NDArray[np.int64]:
    """(positions,) places that the window walks over from one complete window to the next.

    The first is counted from the last one of the image before.
    """
    places = ends(stage)
    return np.diff(places, prepend=places[-1] - stage.steps)


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
    taken, begun, last = 0, 0, []  # the window leaves its register; the unit begins with it
    walks = steps.tolist()
    for _ in range(IMAGES):
        for walk in walks:
            # `qfx_unpack` has room again with the unit's last fresh word.
            taken = max(taken + walk, begun + words - 1)
            begun = max(taken + 1, begun + cycles)
        last.append(begun)
    return last[-1] - last[-2]
