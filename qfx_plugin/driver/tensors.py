"""Values and codes of a network's tensors, and the positions that travel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    cast_codes,
    code_range,
)

from .description import Description, InputTensor, OutputTensor
from .errors import DataError

Codes: TypeAlias = NDArray[np.int64]
FLOAT_EXACT = 24
"""Bits of a code that a 32-bit float holds."""

Given: TypeAlias = ArrayLike | Mapping[str, ArrayLike] | Sequence[ArrayLike]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs that have been checked, and become codes part by part.

    Attributes:
        description: of the accelerator.
        arrays: (samples, ...) of each input, in the order of the description.
        are_codes: integer codes already; else floats that are cast as the network's first Quant
            does.
    """

    description: Description
    arrays: tuple[NDArray[Any], ...]
    are_codes: bool

    def __len__(self) -> int:
        return len(self.arrays[0])

    def codes(self, begin: int, end: int) -> NDArray[Any]:
        """(samples, positions, values) codes of the samples from `begin` to `end`.

        Floats, if floats travel: the cast is in the logic then.
        """
        is_float = self.description.input_layout.is_float
        pairs = zip(self.description.inputs, self.arrays, strict=True)
        coded = []
        for tensor, array in pairs:
            part = array[begin:end]
            if self.are_codes:
                coded.append(_uncast(tensor, part) if is_float else part.astype(np.int64))
            else:
                coded.append(_ordered(tensor, part) if is_float else _cast(tensor, part))
        return _positions(self.description, coded)


def check_values(description: Description, given: Given) -> Samples:
    """Values of the inputs, checked.

    Args:
        description: of the accelerator.
        given: (samples, *shape) values, or such arrays by the inputs' names or in their order:
            floats, or integers that float32 holds exactly, which are values like 3.0 and no codes.

    Raises:
        DataError: wrong names, shape or type, or a value that is not finite.
    """
    names = [tensor.name for tensor in description.inputs]
    arrays = [_as_floats(*pair) for pair in zip(names, _arrays(given, names), strict=True)]
    for tensor, array in zip(description.inputs, arrays, strict=True):
        _check_shape(tensor.name, array, tensor.shape)
        _check_finite(tensor.name, array)
    _check_lengths(description, arrays)
    return Samples(description, tuple(arrays), are_codes=False)


def check_codes(description: Description, given: Given) -> Samples:
    """Inputs that are codes already, checked.

    Args:
        description: of the accelerator.
        given: (samples, *coded_shape) integers, or such arrays by the inputs' names.

    Raises:
        DataError: wrong names, shape or type, or a code outside its format.
    """
    arrays = _arrays(given, [tensor.name for tensor in description.inputs])
    for tensor, array in zip(description.inputs, arrays, strict=True):
        if array.dtype.kind not in "iu":
            raise DataError(f"codes of {tensor.name} must be integers, not {array.dtype}")
        _check_shape(f"codes of {tensor.name}", array, tensor.coded_shape)
        _check_range(tensor, array)
        width = tensor.cast[0].format.width
        if description.input_layout.is_float and width > FLOAT_EXACT:
            raise DataError(
                f"codes of {tensor.name} must have at most {FLOAT_EXACT} bits where floats travel, "
                f"not {width}: give values to run"
            )
    _check_lengths(description, arrays)
    return Samples(description, tuple(arrays), are_codes=True)


def decode_codes(description: Description, positions: NDArray[Any]) -> Codes | dict[str, Codes]:
    """(samples, positions, values) as codes (samples, *shape); by name if there are several."""
    samples = len(positions)
    if description.channels_last:  # tensors in turn
        ends = np.cumsum([prod(tensor.shape[1:]) for tensor in description.outputs])
        parts = [
            part[:, :, : prod(tensor.shape[:1])].transpose(0, 2, 1)
            for tensor, part in zip(
                description.outputs, np.split(positions, ends[:-1], axis=1), strict=True
            )
        ]
    else:
        ends = np.cumsum([prod(tensor.shape) for tensor in description.outputs])
        parts = np.split(positions.reshape(samples, int(ends[-1])), ends[:-1], axis=1)
    arrays = [
        _shaped(tensor, np.ascontiguousarray(part).reshape(samples, prod(tensor.shape)))
        for part, tensor in zip(parts, description.outputs, strict=True)
    ]
    if description.output_layout.is_float:
        arrays = [
            np.rint(np.ldexp(array, _points(tensor.formats, array.ndim))).astype(np.int64)
            for array, tensor in zip(arrays, description.outputs, strict=True)
        ]
    if len(arrays) == 1:
        return arrays[0]
    names = [tensor.name for tensor in description.outputs]
    return dict(zip(names, arrays, strict=True))


def values_of(
    description: Description, codes: Codes | dict[str, Codes]
) -> NDArray[np.float64] | dict[str, NDArray[np.float64]]:
    """Float64 values of output codes; exact below 2**53 LSBs."""
    if isinstance(codes, dict):
        return {tensor.name: _values(tensor, codes[tensor.name]) for tensor in description.outputs}
    return _values(description.outputs[0], codes)


def _values(tensor: OutputTensor, codes: Codes) -> NDArray[np.float64]:
    return np.ldexp(codes.astype(np.float64), -_points(tensor.formats, codes.ndim))


def _ordered(tensor: InputTensor, array: NDArray[Any]) -> NDArray[Any]:
    """(samples, *shape) to (samples, *coded_shape)."""
    if tensor.order:
        array = array.reshape(len(array), prod(tensor.shape))[:, np.array(tensor.order)]
    return array.reshape(len(array), *tensor.coded_shape)


def _placed(tensor: InputTensor, flat: NDArray[Any]) -> NDArray[Any]:
    """(samples, values) as they travel; a new array."""
    if not tensor.places:
        return flat
    moved = np.empty_like(flat)
    moved[:, np.array(tensor.places)] = flat
    return moved


def _shaped(tensor: OutputTensor, array: NDArray[Any]) -> NDArray[Any]:
    """(samples, values as they travel) to (samples, *shape)."""
    if tensor.places:
        array = array[:, np.array(tensor.places)]
    return array.reshape(len(array), *tensor.shape)


def _cast(tensor: InputTensor, array: NDArray[Any]) -> Codes:
    array, first = _ordered(tensor, array), tensor.cast[0]
    return cast_codes(
        array, _points([cast.format for cast in tensor.cast], array.ndim), first.format.width,
        first.format.signed, first.rounding, first.overflow,
    )  # fmt: skip


def _uncast(tensor: InputTensor, codes: NDArray[Any]) -> NDArray[np.float64]:
    """Values that the cast turns into these codes again."""
    points = _points([cast.format for cast in tensor.cast], codes.ndim)
    return np.ldexp(codes.astype(np.float64), -points)


def _positions(description: Description, coded: list[NDArray[Any]]) -> NDArray[Any]:
    samples = len(coded[0])
    if description.channels_last:  # tensors in turn, fewer channels filled up
        values = description.input_layout.values
        parts = [codes.reshape(*codes.shape[:2], -1).transpose(0, 2, 1) for codes in coded]
        wide = [np.pad(part, ((0, 0), (0, 0), (0, values - part.shape[2]))) for part in parts]
        return wide[0] if len(wide) == 1 else np.concatenate(wide, axis=1)
    flat = [
        _placed(tensor, codes.reshape(samples, prod(codes.shape[1:])))
        for tensor, codes in zip(description.inputs, coded, strict=True)
    ]
    return np.concatenate(flat, axis=1)[:, np.newaxis]


def _points(formats: Sequence[FixedPointFormat], rank: int) -> NDArray[np.int64]:
    """One binary point, or one per channel along axis 1."""
    points = np.array([fmt.frac_bits for fmt in formats], dtype=np.int64)
    if points.size == 1:
        return points.reshape(())
    return points.reshape(-1, *[1] * (rank - 2))


def _arrays(given: Given, names: list[str]) -> list[NDArray[Any]]:
    if not isinstance(given, Mapping):
        if len(names) == 1:
            return [np.asarray(given)]
        if isinstance(given, list | tuple) and len(given) == len(names):
            return [np.asarray(part) for part in given]
        raise DataError(f"inputs must be given by name ({', '.join(names)}), not as one array")
    if set(given) != set(names):
        raise DataError(
            f"inputs must be {', '.join(names)}, not {', '.join(map(str, given)) or 'nothing'}"
        )
    return [np.asarray(given[name]) for name in names]


def _as_floats(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Integers as floats, if each is one: images of bytes are."""
    if array.dtype.kind == "f":
        return array
    if array.dtype.kind not in "iub":
        raise DataError(f"{name} must hold numbers, not {array.dtype}")
    if array.size and max(int(array.max()), -int(array.min())) > 1 << FLOAT_EXACT:
        raise DataError(
            f"{name} must be integers of at most {FLOAT_EXACT} bits, or floats: give codes to "
            "run_codes"
        )
    return array.astype(np.float32)


def _check_lengths(description: Description, arrays: list[NDArray[Any]]) -> None:
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        names = ", ".join(tensor.name for tensor in description.inputs)
        raise DataError(f"{names} must have the same number of samples, not {sorted(lengths)}")


def _check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.ndim == 0 or array.shape[1:] != shape:
        wanted = ", ".join(map(str, ("samples", *shape)))
        raise DataError(f"{name} must have shape ({wanted}), not {array.shape}")


def _check_finite(name: str, array: NDArray[Any]) -> None:
    wrong = ~np.isfinite(array)
    if wrong.any():
        first = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"{name} must be finite: {int(wrong.sum())} values are not, the first is "
            f"{array[first]} at {first}"
        )


def _check_range(tensor: InputTensor, array: NDArray[Any]) -> None:
    cast = tensor.cast[0]  # all channels have the same width
    low, high = code_range(cast.format.width, cast.format.signed, cast.overflow)
    wrong = (array < low) | (array > high)
    if wrong.any():
        first = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"codes of {tensor.name} must lie in [{low}, {high}], as {cast} has them, "
            f"not {array[first]} at {first}"
        )
