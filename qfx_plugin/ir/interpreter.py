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

from .exact import INT64_EXACT
from .graph import Graph
from .inputs import check_inputs
from .ops import Input
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
    return {name: FixedTensor.of_channels(joined[name], kinds[name].frac_bits) for name in wanted}


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


def _check_ranges(graph: Graph) -> None:
    for op in graph.ops:
        kind = graph.types()[op.output]
        if isinstance(kind, FixedType) and kind.peak >= INT64_EXACT:
            raise op.refuse(
                f"its sums need {kind.storage_bits} bits; the interpreter has 64 (int64)"
            )


def chunk_size(graph: Graph) -> int:
    """Samples that run at once: as many as keep the largest array in `CHUNK_ELEMENTS`."""
    types = graph.types()
    largest = max(
        op.workspace([types[name] for name in op.inputs], types[op.output]) for op in graph.ops
    )
    return max(1, CHUNK_ELEMENTS // max(1, largest))
