"""Boxes of a detector: what the host computes from the network's results, in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def decode(
    levels: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]],
    strides: Sequence[int],
    threshold: float,
    overlap: float = 0.5,
) -> list[Array]:
    """The objects of each sample, the surest first.

    Args:
        levels: of each level, scores (samples, classes, height, width), any increasing function of
            the probability, and sides (samples, 4, height, width): how far left, top, right and
            bottom lie from the cell's centre, in cells.
        strides: pixels of a cell, of each level.
        threshold: least score of an object.
        overlap: intersection over union from which the less sure of two boxes goes.

    Returns:
        Of each sample (objects, 6): score, class, left, top, right, bottom in pixels.
    """
    found = [_cells(*level, stride) for level, stride in zip(levels, strides, strict=True)]
    cells = np.concatenate(found, axis=1)
    return [_suppressed(boxes[boxes[:, 0] >= threshold], overlap) for boxes in cells]


def f1(found: Sequence[Array], truth: Sequence[Array], threshold: float = -np.inf) -> float:
    """Harmonic mean of precision and recall; right is the class and an overlap of 0.5.

    Args:
        found: of each sample, as `decode` gives them.
        truth: of each sample (objects, 5): class, left, top, right, bottom.
        threshold: least score of an object.
    """
    right = detections = objects = 0
    for boxes, wanted in zip(found, truth, strict=True):
        kept = boxes[boxes[:, 0] >= threshold]
        good = (kept[:, 1, None] == wanted[:, 0]) & (
            intersection(kept[:, 2:], wanted[:, 1:]) >= 0.5
        )
        free = np.ones(len(wanted), bool)
        for row in good:
            match = np.flatnonzero(row & free)[:1]
            free[match] = False
            right += len(match)
        detections, objects = detections + len(kept), objects + len(wanted)
    return 2 * right / max(detections + objects, 1)


def intersection(a: Array, b: Array) -> Array:
    """Intersection over union of each box of `a` with each of `b`: left, top, right, bottom."""
    corners = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    shared = corners.clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1) for boxes in (a, b)]
    total = areas[0][:, None] + areas[1] - shared
    return np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)


def _cells(scores: NDArray[np.floating], sides: NDArray[np.floating], stride: int) -> Array:
    """(samples, cells, 6): the best class of each cell, and its box."""
    samples, _, height, width = scores.shape
    y, x = np.mgrid[:height, :width] + 0.5
    left, top, right, bottom = np.moveaxis(sides.astype(np.float64), 1, 0)
    box = [(x - left), (y - top), (x + right), (y + bottom)]
    columns = [scores.max(1), scores.argmax(1), *(stride * side for side in box)]
    return np.stack(columns, -1).reshape(samples, height * width, 6)


def _suppressed(boxes: Array, overlap: float) -> Array:
    boxes = boxes[np.argsort(-boxes[:, 0], kind="stable")]
    kept: list[Array] = []
    while len(boxes):
        kept.append(boxes[0])
        near = intersection(boxes[:1, 2:], boxes[:, 2:])[0] >= overlap
        near[0] = True
        boxes = boxes[~near]
    return np.stack(kept) if kept else boxes
