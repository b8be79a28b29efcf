"""The golden model: runs a graph on integer codes, exactly.

Every executor (PyTorch, QONNX, hls4ml, FINN, RTL) is compared with what this file computes. All
values are int64; the range analysis proves for each tensor that no sum leaves 63 bits, and
matrix products use float64 only where every partial sum provably stays below 2**53.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, UnsupportedModelError
from .exact import INT64_EXACT
from .graph import Graph
from .ops import Input
from .ops.base import column
from .types import FixedTensor, FixedType

CHUNK_ELEMENTS = 1 << 21
"""Samples run in chunks whose largest array has about this many elements (16 MiB)."""


def interpret(
    graph: Graph,
    inputs: Mapping[str, ArrayLike] | Sequence[ArrayLike] | ArrayLike,
    keep: Iterable[str] | None = None,
) -> dict[str, FixedTensor]:
    """Run `graph` on float inputs and return integer tensors by name.

    Args:
        graph: the network; see `Graph`.
        inputs: (batch, *shape) float or integer values for each input, by name or in the order of
            the file; a bare array for a network with one input.
        keep: names of the tensors to return, instead of the outputs; `graph.types()` gives all.

    Returns:
        For each name, (batch, *shape) int64 codes with their binary points.

    Raises:
        DataError: inputs are missing, have the wrong shape, or are not finite.
        UnsupportedModelError: a tensor needs more than 63 bits, or a name in `keep` is unknown.
    """
    wanted = tuple(graph.outputs if keep is None else keep)
    kinds = {name: graph.fixed_type(name) for name in wanted}
    _check_ranges(graph)
    arrays = check_inputs(graph, inputs)
    batch = len(next(iter(arrays.values())))
    step = chunk_size(graph)
    parts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in wanted}
    for start in range(0, max(batch, 1), step):
        chunk = {name: array[start : start + step] for name, array in arrays.items()}
        for name, codes in _run(graph, chunk, wanted).items():
            parts[name].append(codes)
    joined = {name: p[0] if len(p) == 1 else np.concatenate(p) for name, p in parts.items()}
    return {name: _tensor(joined[name], kinds[name]) for name in wanted}


def _run(
    graph: Graph, arrays: dict[str, NDArray[Any]], wanted: tuple[str, ...]
) -> dict[str, NDArray[np.int64]]:
    """One chunk, operation by operation; tensors are dropped after their last use."""
    types = graph.types()
    last_use = {name: op for op in graph.ops for name in op.inputs}
    size = len(next(iter(arrays.values())))
    alive: dict[str, NDArray[Any]] = {}
    results: dict[str, NDArray[np.int64]] = {}
    for op in graph.ops:
        if isinstance(op, Input):
            value = arrays[op.output]
        else:
            operands = [alive[name] for name in op.inputs]
            value = op.run(operands, [types[name] for name in op.inputs], types[op.output])
        alive[op.output] = value
        if op.output in wanted:
            results[op.output] = np.broadcast_to(value, (size, *types[op.output].shape))
        for name in op.inputs:
            if last_use[name] is op:
                alive.pop(name, None)
    return results


def _tensor(codes: NDArray[np.int64], kind: FixedType) -> FixedTensor:
    bits = kind.frac_bits[:1] if kind.uniform else kind.frac_bits
    rank = len(kind.shape)
    return FixedTensor(codes, bits.reshape(()) if bits.size == 1 else column(bits, rank))


def _check_ranges(graph: Graph) -> None:
    for op in graph.ops:
        kind = graph.types()[op.output]
        if isinstance(kind, FixedType) and kind.peak >= INT64_EXACT:
            raise op.refuse(
                f"its sums need {kind.storage_bits} bits; the interpreter has 64 (int64)"
            )


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
        reason = str(error).partition("\n")[0]
        raise DataError(f"inputs must be arrays of numbers: {reason}") from error


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


def chunk_size(graph: Graph) -> int:
    """Samples that run at once: as many as keep the largest array in `CHUNK_ELEMENTS`."""
    types = graph.types()
    largest = max(
        op.workspace([types[name] for name in op.inputs], types[op.output]) for op in graph.ops
    )
    return max(1, CHUNK_ELEMENTS // max(1, largest))
