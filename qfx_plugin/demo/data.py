"""Data sets of the demo: real images with exact fixed-point pixels.

The default needs no download: the digits that scikit-learn ships. `QFX_DATA` names a folder with
more: `$QFX_DATA/mnist/*-ubyte[.gz]` and `$QFX_DATA/cifar10/cifar10-jpeg-{train,test}.zip`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point.format import FixedPointFormat
from qfx_plugin.demo.cifar import read_cifar10
from qfx_plugin.demo.idx import read_idx
from qfx_plugin.errors import DataError

DATA_FOLDER_VARIABLE = "QFX_DATA"
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Dataset:
    """Images and labels, split once and for all.

    Attributes:
        name: "digits", "mnist" or "cifar10".
        x_train: (samples, channels, height, width) float32 in [0, 1], exact in `input_format`.
        y_train: (samples,) int64, class numbers from 0.
        x_test: as `x_train`; never used in training.
        y_test: as `y_train`.
        class_names: one for each class number.
        input_format: the narrowest format that holds every pixel exactly.
        source: where the data come from, for reports.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    class_names: tuple[str, ...]
    input_format: FixedPointFormat
    source: str

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.x_train.shape[1:]
        return channels, height, width

    @property
    def input_bits(self) -> int:
        """Word length of a pixel, in bits."""
        return self.input_format.width


def load_dataset(name: str | None = None, folder: str | Path | None = None) -> Dataset:
    """Load a data set by name.

    Args:
        name: "digits", "mnist" or "cifar10". `None` means MNIST if `QFX_DATA` is set, else digits.
        folder: holds `mnist/` and `cifar10/`; by default the folder that `QFX_DATA` names.

    Raises:
        DataError: the name is unknown, or a file is missing, truncated or of the wrong size.
        ToolMissingError: CIFAR-10 without Pillow, which decodes its JPEG files.
    """
    folder = folder or os.environ.get(DATA_FOLDER_VARIABLE) or None
    if name is None:
        name = "mnist" if folder else "digits"
    if name == "digits":
        return _load_digits()
    if name not in _FROM_FOLDER:
        known = ", ".join(("digits", *_FROM_FOLDER))
        raise DataError(f"data set must be one of {known}, not {name!r}")
    if folder is None:
        raise DataError(
            f"{name} is read from a folder: set {DATA_FOLDER_VARIABLE} to the one holding {name}/"
        )
    return _FROM_FOLDER[name](Path(folder) / name)


def _load_digits() -> Dataset:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 1, 8, 8) / 16.0).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(
        pixels, labels.astype(np.int64), test_size=0.25, random_state=_SPLIT_SEED, stratify=labels
    )
    return Dataset(
        "digits", x_train, y_train, x_test, y_test,
        class_names=tuple("0123456789"),
        input_format=FixedPointFormat(5, 1, signed=False),
        source="scikit-learn's digits, 8x8, pixels / 16, stratified split 75/25",
    )  # fmt: skip


def _load_mnist(folder: Path) -> Dataset:
    splits = []
    for split in ("train", "t10k"):
        images = read_idx(folder, f"{split}-images-idx3-ubyte", dimensions=3)
        labels = read_idx(folder, f"{split}-labels-idx1-ubyte", dimensions=1)
        if len(images) != len(labels):
            raise DataError(f"{folder}: {split} has {len(images)} images but {len(labels)} labels")
        if labels.size == 0 or labels.max() > 9:
            raise DataError(
                f"{folder}: {split} labels must be digits 0 to 9, not {labels.max(initial=0)}"
            )
        splits.append((images[:, np.newaxis], labels))
    (train, train_labels), (test, test_labels) = splits
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{folder}: training images are {train.shape[2]}x{train.shape[3]}, "
            f"test images {test.shape[2]}x{test.shape[3]}"
        )
    return _from_bytes(
        "mnist", train, train_labels, test, test_labels,
        class_names=tuple("0123456789"), source="MNIST, pixels / 256",
    )  # fmt: skip


def _load_cifar10(folder: Path) -> Dataset:
    train, train_labels, names = read_cifar10(folder, "train")
    test, test_labels, test_names = read_cifar10(folder, "test")
    if names != test_names:
        raise DataError(f"{folder}: the training and test archives hold different classes")
    return _from_bytes(
        "cifar10", train, train_labels, test, test_labels,
        class_names=names, source="CIFAR-10 as JPEG files, pixels / 256",
    )  # fmt: skip


def _from_bytes(
    name: str,
    train: NDArray[np.uint8],
    train_labels: NDArray[np.uint8],
    test: NDArray[np.uint8],
    test_labels: NDArray[np.uint8],
    class_names: tuple[str, ...],
    source: str,
) -> Dataset:
    """Bytes to float32: divided by 256 and not by 255, so that pixels are fixed-point values."""
    return Dataset(
        name,
        train.astype(np.float32) / np.float32(256),
        train_labels.astype(np.int64),
        test.astype(np.float32) / np.float32(256),
        test_labels.astype(np.int64),
        class_names=class_names,
        input_format=FixedPointFormat(8, 0, signed=False),
        source=source,
    )


_FROM_FOLDER: dict[str, Callable[[Path], Dataset]] = {
    "mnist": _load_mnist,
    "cifar10": _load_cifar10,
}
