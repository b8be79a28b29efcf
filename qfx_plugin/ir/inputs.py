"""A network's inputs: as they are given, by name, in order, of any type; or drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UnsupportedModelError, one_line
from .graph import Graph
from .ops import Arrangement, Identity, Input, Quantize
from .ops.base import column

FLOAT32_INTEGERS = 24
"""Integers of so many bits are floats, all of them."""


def check_inputs(graph: Graph, inputs: Any) -> dict[str, NDArray[Any]]:
    """Inputs by name: arrays of equal batch and the right shapes.

    Args:
        graph: the network.
        inputs: as for `interpret`.

    Raises:
        DataError: inputs are missing or unknown, have the wrong shape, or hold no numbers.
    """
    names = [op.output for op in graph.inputs]
    if not names:
        raise UnsupportedModelError(f"graph {graph.name!r} has no input")
    if not isinstance(inputs, Mapping):
        inputs = dict(zip(names, _in_order(graph, inputs), strict=True))
    if set(inputs) != set(names):
        given = ", ".join(map(str, inputs)) or "none"
        raise DataError(f"inputs must be exactly {', '.join(names)}, not {given}")
    arrays = {name: as_array(inputs[name]) for name in names}
    for op in graph.inputs:
        _check_input(op, arrays[op.output])
    batches = {name: len(array) for name, array in arrays.items()}
    if len(set(batches.values())) != 1:
        raise DataError(f"inputs must have the same number of samples, not {batches}")
    return arrays


def as_array(given: Any) -> NDArray[Any]:
    """An array, or what can be read as one; also a tensor of torch.

    Raises:
        DataError: its rows have different lengths, or it cannot be read.
    """
    if hasattr(given, "detach"):
        given = given.detach().cpu()
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"inputs must be arrays of numbers: {one_line(error)}") from error


def _in_order(graph: Graph, inputs: Any) -> list[Any]:
    """One array, or one of each input in the order of the file."""
    ops = graph.inputs
    several = isinstance(inputs, list | tuple)
    fits = several and len(inputs) == len(ops)
    if fits and len(ops) == 1:  # or is it a batch of one?
        fits = as_array(inputs[0]).ndim == len(ops[0].shape) + 1
    if fits:
        return list(inputs)
    if len(ops) == 1:
        return [inputs]
    names = ", ".join(op.output for op in ops)
    what = f"{len(inputs)} arrays" if several else "one array"
    raise DataError(f"inputs must be given by name ({names}), not as {what}")


def _check_input(op: Input, array: NDArray[Any]) -> None:
    if array.dtype.kind not in "fiub":
        raise DataError(f"input {op.output!r} must hold numbers, not {array.dtype}")
    if array.ndim != len(op.shape) + 1 or array.shape[1:] != op.shape:
        shape = ", ".join(map(str, ("samples", *op.shape)))
        raise DataError(f"input {op.output!r} must have shape ({shape}), not {array.shape}")


def as_float32(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Inputs as every executor gets them.

    Raises:
        DataError: no samples, a value that is not finite, or an integer that float32 rounds.
    """
    found = {}
    for name, array in arrays.items():
        if not len(array):
            raise DataError("inputs must hold at least one sample")
        with np.errstate(over="ignore"):
            found[name] = array.astype(np.float32)
        wrong = ~np.isfinite(found[name])
        rule = "be finite in float32"
        if array.dtype.kind in "iu" and not wrong.any():
            wrong = np.abs(array.astype(np.float64)) > 1 << FLOAT32_INTEGERS
            rule = f"be integers of at most {FLOAT32_INTEGERS} bits, or floats"
        if wrong.any():
            first = tuple(int(index) for index in np.argwhere(wrong)[0])
            raise DataError(
                f"input {name!r} must {rule}: {int(wrong.sum())} values are not, the first is "
                f"{array[first]} at {first}"
            )
    return found


ENDS = np.array([-4, -2, -1, 0, 1, 2, 4])
"""Quarters of an LSB beside the ends of a range: inside, on the end, ties, out of range."""


def random_inputs(graph: Graph, samples: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """Inputs that reach every code of the first casts, their ties, and both ends of their ranges.

    One value in two is uniform on a grid four times finer than the cast's, up to a quarter beyond
    its range; one in four is a tie of two codes; one in four lies at an end of the range, or at
    most an LSB beside it.

    Args:
        graph: the network.
        samples: how many.
        seed: of the generator.

    Returns:
        (samples, *shape) float32 for each input, by name.

    Raises:
        DataError: an input is not cast.
    """
    rng = np.random.default_rng(seed)
    return {op.output: _drawn(op, _first_cast(graph, op), samples, rng) for op in graph.inputs}


def _first_cast(graph: Graph, source: Input) -> tuple[Quantize, bool]:
    """The cast of an input, and whether it has the input's axes.

    Raises:
        DataError: there is none.
    """
    ahead: list[tuple[str, bool]] = [(source.output, True)]
    while ahead:
        name, same = ahead.pop(0)
        for op in graph.consumers(name):
            if isinstance(op, Quantize):
                return op, same
            if isinstance(op, Identity | Arrangement):
                ahead.append((op.output, same and isinstance(op, Identity)))
    raise DataError(f"input {source.output!r} is not quantized: use --inputs")


def _drawn(
    source: Input, cast: tuple[Quantize, bool], samples: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    formats = cast[0].formats
    if not cast[1]:  # its channels lie on another axis
        formats = (min(formats, key=lambda one: one.frac_bits),)
    rank = len(source.shape)
    least, most, lsb = (
        column(np.array([getattr(one, key) for one in formats], dtype=np.float64), rank)
        for key in ("min", "max", "lsb")
    )
    size = (samples, *source.shape)
    # Where a quarter of an LSB is too fine for float32, as fine as that is.
    step = np.maximum(lsb / 4, (most - least) * 2.0**-22)
    margin = (most - least) / 4
    low, high = np.trunc((least - margin) / step), np.trunc((most + margin) / step)
    grid = rng.integers(low.astype(np.int64), high.astype(np.int64) + 1, size) * step
    ties = np.floor(grid / lsb) * lsb + lsb / 2
    ends = np.where(rng.random(size) < 0.5, least, most) + rng.choice(ENDS, size) * step
    kind = rng.integers(0, 4, size)
    drawn: NDArray[Any] = np.select([kind == 0, kind == 1], [ties, ends], grid)
    return drawn.astype(np.float32)
