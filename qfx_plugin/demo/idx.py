"""Reader of IDX files, the format of MNIST: a magic number, the sizes, then the bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfx_plugin.errors import DataError

_UNSIGNED_BYTE = 0x08


def read_idx(folder: Path, name: str, dimensions: int) -> NDArray[np.uint8]:
    """Read `folder/name` or `folder/name.gz`.

    Args:
        folder: where the file lies.
        name: file name without ".gz".
        dimensions: how many the file must have: 1 for labels, 3 for images.

    Returns:
        The array of the file: (samples,) or (samples, height, width).

    Raises:
        DataError: the file is missing, truncated, too long, or not an IDX file of unsigned bytes.
    """
    path, content = _read(folder, name)
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if content[:4] != magic:
        raise DataError(f"{path}: must start with 0x{magic.hex()}, not 0x{content[:4].hex()}")
    if len(content) < header:
        raise DataError(f"{path}: truncated in its header, {len(content)} of {header} bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    promised = header + math.prod(shape)
    if len(content) != promised:
        raise DataError(f"{path}: header promises {promised} bytes, the file holds {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _read(folder: Path, name: str) -> tuple[Path, bytes]:
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.is_file():
        return plain, plain.read_bytes()
    if not packed.is_file():
        raise DataError(f"{folder}: holds neither {name} nor {name}.gz")
    try:
        return packed, gzip.decompress(packed.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{packed}: truncated or damaged: {error}") from error
