"""Scenes of the detector: MNIST digits on CIFAR photographs, 64 x 64 pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from cifar_data import MEAN, STD, load_cifar10
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from qfx_plugin.demo.data import load_dataset

SIZE, CLASSES = 64, 10
CELLS = (4, 8)
"""Pixels of a cell, of each level."""
SMALL, LARGE = (22, 29), (34, 46)
"""Sides in pixels that a digit's 28 x 28 image takes: small ones are the fine level's."""


@dataclass(frozen=True)
class Scenes:
    """Photographs, what is on them, and what the network should say.

    Attributes:
        pixels: (scenes, 3, 64, 64) uint8.
        boxes: of each scene (objects, 5): class, left, top, right, bottom.
        classes: (scenes, cells of all levels); -1 where a cell has no object.
        sides: (scenes, 4, cells of all levels): distances to the box, in cells.
    """

    pixels: Tensor
    boxes: list[NDArray[np.float64]]
    classes: Tensor
    sides: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    def images(self, index: Tensor) -> Tensor:
        """Pixels from -1 to 1, exact in 8 bits."""
        return self.pixels[index].float() / 128 - 1


def load_scenes(count: int) -> tuple[Scenes, Scenes, Scenes]:
    """Training, validation and test; the last from the test images of both data sets."""
    digits = load_dataset("mnist")
    photographs, _, others, _ = load_cifar10()
    first = digits.x_train[:, 0], digits.y_train
    return (
        draw(photographs[1000:], first[0][5000:], first[1][5000:], count, 0),
        draw(photographs[:1000], first[0][:5000], first[1][:5000], 500, 1),
        draw(others, digits.x_test[:, 0], digits.y_test, 1000, 2),
    )


def draw(
    photographs: Tensor,
    digits: NDArray[np.float32],
    labels: NDArray[np.int64],
    count: int,
    seed: int,
) -> Scenes:
    """Photographs at half their brightness, with one to three white digits that do not touch."""
    random = np.random.default_rng(seed)
    pixels = np.empty((count, 3, SIZE, SIZE), np.uint8)
    boxes, targets = [], []
    for scene in pixels:
        photograph = photographs[random.integers(len(photographs))] * STD + MEAN
        scene[:] = (photograph.numpy() * 128).repeat(2, 1).repeat(2, 2)
        taken = np.zeros((SIZE, SIZE), bool)
        objects: list[tuple[int, ...]] = []
        for _ in range(random.integers(1, 4)):
            which = random.integers(len(digits))
            side = int(random.integers(*(SMALL if random.random() < 0.5 else LARGE)))
            y, x = random.integers(0, SIZE - side + 1, 2)
            window = slice(y, y + side), slice(x, x + side)
            if taken[window].any():
                continue
            taken[window] = True
            image = Image.fromarray((digits[which] * 255).astype(np.uint8))
            ink = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)) / 255
            scene[(slice(None), *window)] = scene[(slice(None), *window)] * (1 - ink) + 255 * ink
            rows, columns = (np.flatnonzero((ink > 0.3).any(axis)) for axis in (1, 0))
            corner = x + columns[0], y + rows[0]
            objects.append(
                (labels[which], *corner, x + columns[-1] + 1, y + rows[-1] + 1, side >= LARGE[0])
            )
        boxes.append(np.array(objects, np.float64)[:, :5])
        targets.append(_targets(objects))
    classes, sides = (torch.from_numpy(np.stack(part)) for part in zip(*targets, strict=True))
    return Scenes(torch.from_numpy(pixels), boxes, classes, sides)


def _targets(objects: list[tuple[int, ...]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What each cell should say: an object is that of the nine cells about its centre."""
    classes, sides = [], []
    for level, stride in enumerate(CELLS):
        cells = SIZE // stride
        y, x = (np.mgrid[:cells, :cells] + 0.5) * stride
        wanted, distances = np.full((cells, cells), -1), np.zeros((4, cells, cells), np.float32)
        for label, left, top, right, bottom, large in objects:
            if large == level:
                near = [abs(y - (top + bottom) / 2), abs(x - (left + right) / 2)]
                own = np.maximum(*near) < 1.5 * stride
                wanted[own] = label
                distances[:, own] = np.stack([x - left, y - top, right - x, bottom - y])[:, own]
        classes.append(wanted.reshape(-1))
        sides.append(distances.reshape(4, -1) / stride)
    return np.concatenate(classes), np.concatenate(sides, 1)
