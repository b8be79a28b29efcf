"""Boxes that the host decodes from a detector's results: `benchmarks/detector_boxes.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def boxes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "detector_boxes", raising=False)
    import detector_boxes

    return detector_boxes


def level(cells: int, objects: dict[tuple[int, int], tuple[list[float], list[float]]]):
    """Scores of two classes, -9 but at (row, column) of `objects`, and their sides."""
    scores, sides = np.full((1, 2, cells, cells), -9.0), np.zeros((1, 4, cells, cells))
    for (row, column), (score, side) in objects.items():
        scores[0, :, row, column], sides[0, :, row, column] = score, side
    return scores, sides


def test_boxes_of_both_levels_in_pixels_surest_first(boxes):
    fine = level(4, {(1, 2): ([0.5, -1.0], [0.5, 1.5, 1.5, 0.5])})
    coarse = level(2, {(1, 0): ([-2.0, 3.0], [0.5, 0.25, 0.5, 0.5])})
    (found,) = boxes.decode([fine, coarse], (4, 8), threshold=0.0)
    assert found.tolist() == [[3.0, 1, 0, 10, 8, 16], [0.5, 0, 8, 0, 16, 8]]


def test_of_boxes_that_overlap_the_surest_stays(boxes):
    whole = [0.5, 0.5, 0.5, 0.5]
    objects = {
        (0, 0): ([1.0, -9.0], [0.5, 0.5, 1.5, 0.5]),
        (0, 1): ([-9.0, 2.0], [1.5, 0.5, 0.5, 0.5]),
        (1, 1): ([1.5, -9.0], whole),
    }
    (found,) = boxes.decode([level(2, objects)], (4,), threshold=0.0)
    assert found[:, :2].tolist() == [[2.0, 1], [1.5, 0]]
    (found,) = boxes.decode([level(2, objects)], (4,), threshold=0.0, overlap=1.1)
    assert len(found) == 3


def test_nothing_above_the_threshold(boxes):
    (found,) = boxes.decode([level(2, {})], (4,), threshold=0.0)
    assert found.shape == (0, 6)
    assert boxes.f1([found], [np.array([[0, 0, 0, 4, 4.0]])]) == 0


def test_f1_wants_class_and_half_the_overlap_once(boxes):
    truth = [np.array([[1, 0, 0, 4, 4], [0, 8, 8, 12, 12.0]])]
    right, again = [3, 1, 0, 0, 4, 4], [2, 1, 0, 0, 4, 3.5]
    other, half, less = [1, 1, 8, 8, 12, 12], [1, 0, 8, 8, 12, 10], [1, 0, 8, 8, 12, 9.9]
    for found, wanted in (
        ([right], 2 / 3),
        ([right, half], 1),
        ([right, less], 1 / 2),
        ([right, other], 1 / 2),
        ([right, again], 1 / 2),
    ):
        assert boxes.f1([np.array(found, float)], truth) == pytest.approx(wanted)
    assert boxes.f1([np.array([right, less], float)], truth, threshold=2.5) == pytest.approx(2 / 3)


def test_boxes_without_area_overlap_nothing(boxes):
    points = np.array([[1, 1, 1, 1], [3, 3, 1, 1.0]])
    assert boxes.intersection(points, points).tolist() == [[0, 0], [0, 0]]
