"""Reader of CIFAR-10 kept as JPEG files in two zip archives, one folder for each class."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfx_plugin.errors import DataError, ToolMissingError

_SHAPE = (32, 32, 3)


def read_cifar10(
    folder: Path, split: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[str, ...]]:
    """Read `folder/cifar10-jpeg-<split>.zip`.

    Args:
        folder: where the archives lie.
        split: "train" or "test".

    Returns:
        Images (samples, 3, 32, 32) and labels (samples,), in the archive's alphabetical order, and
        the class names: classes are numbered alphabetically, as in the original data set.

    Raises:
        DataError: the archive is missing or damaged, or an image is not 32x32.
        ToolMissingError: Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ToolMissingError(
            "cifar10: its JPEG files are decoded by Pillow; pip install 'pillow>=10'"
        ) from error
    path = folder / f"cifar10-jpeg-{split}.zip"
    if not path.is_file():
        raise DataError(f"{folder}: holds no {path.name}")
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            if not members:
                raise DataError(f"{path}: holds no {split}/<class>/*.jpg")
            images = np.empty((len(members), *_SHAPE), np.uint8)
            for index, member in enumerate(members):
                pixels = np.asarray(Image.open(io.BytesIO(archive.read(member))).convert("RGB"))
                if pixels.shape != _SHAPE:
                    height, width, _ = pixels.shape
                    raise DataError(f"{path}: {member} must be 32x32 pixels, not {width}x{height}")
                images[index] = pixels
    except (zipfile.BadZipFile, UnidentifiedImageError, OSError) as error:
        raise DataError(f"{path}: truncated or damaged: {error}") from error
    folders = [member.split("/")[-2] if "/" in member else "" for member in members]
    names = tuple(sorted(set(folders)))
    labels = np.array([names.index(name) for name in folders], np.uint8)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels, names
