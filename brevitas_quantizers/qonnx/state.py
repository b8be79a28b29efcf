"""Trained floats as text: what travels in the metadata so that training can go on bit for bit.

A weight in the file is its cast value. The float that training holds is near it, so what is stored
is the difference of the two bit patterns, as integers, whose high bytes repeat. The bytes are
sorted by significance, compressed (zlib; low bytes, which are noise, stay as they are in the same
stream) and written in base64. Nothing is ever unpickled, and no more bytes are unpacked than the
tensor's shape asks for.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PATTERNS = {"float32": "<u4", "float64": "<u8", "int64": "<u8"}
"""Element types that can travel, and the unsigned integers that hold their bits."""
_SAMPLE = 1 << 16
_NOISE = 0.97
"""Of its size, what a sample must shrink to: below that, compression is not worth its time."""


class StateError(ValueError):
    """Why a stored tensor cannot be read."""


def encode(values: Tensor, near: Tensor | None = None) -> dict[str, Any]:
    """A tensor as JSON.

    Args:
        values: float32, float64 or int64, any shape.
        near: values of the same shape and type that the reader will have, or none.

    Returns:
        `{"dtype": ..., "shape": [...], "data": base64}`.
    """
    bits = _bits(values)
    if near is not None:
        bits = bits - _bits(near + 0)  # modulo 2**32 or 2**64; -0.0 counts as 0.0
    planes = np.ascontiguousarray(bits.reshape(-1, 1).view(np.uint8).T)
    return {
        "dtype": str(values.dtype).removeprefix("torch."),
        "shape": list(values.shape),
        "data": base64.b64encode(_pack(planes)).decode("ascii"),
    }


def _pack(planes: NDArray[np.uint8]) -> bytes:
    """One zlib stream of all rows; each that does not shrink is stored, at a tenth of the time."""
    if planes.nbytes <= _SAMPLE:
        return zlib.compress(planes.data, 6)
    parts, check = [b"\x78\x01"], 1
    for row in planes:
        sample = row[len(row) // 2 :][:_SAMPLE]
        level = 0 if len(_deflate(sample, 6)) > _NOISE * len(sample) else 6
        parts.append(_deflate(row, level))
        check = zlib.adler32(row, check)
    return b"".join((*parts, b"\x03\x00", check.to_bytes(4, "big")))


def _deflate(row: NDArray[np.uint8], level: int) -> bytes:
    """Blocks that end on a byte, of which none is the last; what repeats here are single bytes."""
    packing = zlib.compressobj(level, wbits=-zlib.MAX_WBITS, strategy=zlib.Z_RLE)
    return packing.compress(row.data) + packing.flush(zlib.Z_FULL_FLUSH)


def decode(item: object, shape: tuple[int, ...], near: Tensor | None = None) -> Tensor:
    """The tensor that `encode` has written.

    Args:
        item: parsed JSON from a stranger.
        shape: what the tensor has to be: no other is unpacked.
        near: as given to `encode`.

    Raises:
        StateError: not such a tensor.
    """
    if not isinstance(item, dict):
        raise StateError(f"must be an object, not {type(item).__name__}")
    dtype, data = item.get("dtype"), item.get("data")
    if dtype not in _PATTERNS or not isinstance(data, str):
        raise StateError(f"dtype must be one of {', '.join(_PATTERNS)} with data in base64")
    if item.get("shape") != list(shape):
        raise StateError(f"shape must be {list(shape)}, not {str(item.get('shape'))[:80]}")
    pattern = np.dtype(_PATTERNS[dtype])
    count = math.prod(shape)
    planes = np.frombuffer(_unpack(data, count * pattern.itemsize), np.uint8)
    bits = np.ascontiguousarray(planes.reshape(pattern.itemsize, count).T).view(pattern)
    if near is not None:
        bits = bits.reshape(-1) + _bits(near.to(getattr(torch, dtype)) + 0)
    return torch.from_numpy(bits.reshape(shape).view(np.dtype(dtype)).copy())


def _bits(values: Tensor) -> NDArray[Any]:
    array = np.ascontiguousarray(values.detach().cpu().numpy())
    return array.reshape(-1).view(_PATTERNS[array.dtype.name])


def _unpack(data: str, size: int) -> bytes:
    """Exactly `size` bytes; a bomb stops one byte behind them."""
    try:
        packed = base64.b64decode(data, validate=True)
        unpacked = zlib.decompressobj().decompress(packed, size + 1)
    except (ValueError, binascii.Error, zlib.error):
        raise StateError("data are damaged") from None
    if len(unpacked) != size:
        raise StateError(f"data must have {size} bytes, not {_more(len(unpacked), size)}")
    return unpacked


def _more(found: int, size: int) -> str:
    return f"more than {size}" if found > size else str(found)
