"""Sums, means and extremes over whole dimensions, as pools and convolutions with ones."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from brevitas_quantizers.onnx_files import Node, Reduction, check_area

from ..ir import (
    AveragePool,
    Conv,
    Extreme,
    Identity,
    Linear,
    MaxPool,
    Op,
    Reshape,
    SumPool,
    Weight,
    Window,
)
from .importer import Importer, converts

_POOLS: dict[str, type[AveragePool | MaxPool | SumPool]] = {
    "ReduceMean": AveragePool,
    "ReduceSum": SumPool,
    "ReduceMax": MaxPool,
    "ReduceMin": MaxPool,
}


@converts(*_POOLS)
def convert_reduce(node: Node, state: Importer) -> None:
    """Any dimensions of a sample; a least value is a largest one with both signs turned."""
    x, _ = node.operands(1, 2)
    shape, name = state.shape(node, x), state.node_name(node)
    reduction = Reduction.read(node, state.constants, len(shape) + 1)
    kind, places = _POOLS[node.op_type], reduction.places
    if kind is AveragePool:
        check_area(node, prod(shape[place] for place in places))
    source, output = state.tensor(node, x), node.output
    if node.op_type == "ReduceMin":
        source, output = state.negated(source, f"{name}:turned"), f"{node.output}:turned"
    result = reduction.shape(shape)
    kept = _kept(shape, places)
    reduced = output if result == kept else f"{output}:reduced"
    _reduced(kind, name, source, reduced, shape, places, state)
    if reduced != output:
        state.emit(Reshape(f"{name}:squeeze", (reduced,), output, result))
    if node.op_type == "ReduceMin":
        state.negated(output, name, node.output)


def _kept(shape: tuple[int, ...], places: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with size 1 at `places`."""
    return tuple(1 if place in places else size for place, size in enumerate(shape))


def _reduced(
    kind: type[AveragePool | MaxPool | SumPool],
    name: str,
    source: str,
    output: str,
    shape: tuple[int, ...],
    places: tuple[int, ...],
    state: Importer,
) -> None:
    """`source` with size 1 at `places`, as `output`: first a pool, then over the channels."""
    if len(shape) > 3:
        _as_image(kind, name, source, output, shape, places, state)
        return
    sides = tuple(shape[place] if place in places else 1 for place in range(1, len(shape)))
    if prod(sides) > 1 or 0 not in places:
        pooled = output if 0 not in places else f"{output}:pooled"
        state.emit(kind(f"{name}:pool", (source,), pooled, Window.plain(*sides)))
        source = pooled
        shape = shape[:1] + tuple(size // side for size, side in zip(shape[1:], sides, strict=True))
    if 0 in places and kind is MaxPool:
        _largest_channel(name, source, output, shape, state)
    elif 0 in places:
        bits = shape[0].bit_length() - 1 if kind is AveragePool else 0
        ones = np.ones((1, shape[0]), np.int64)
        state.emit(_mixed(name, source, output, shape, ones, bits))


def _largest_channel(
    name: str, source: str, output: str, shape: tuple[int, ...], state: Importer
) -> None:
    """The larger of both halves of the channels, again and again; halves may overlap."""
    channels, step = shape[0], 0
    if channels == 1:
        state.emit(Identity(name, (source,), output))
    while channels > 1:
        half, step = -(-channels // 2), step + 1
        parts = []
        for first in (0, channels - half):
            part = f"{output}:{step}:{first}"
            picked = np.eye(channels, dtype=np.int64)[first : first + half]
            state.emit(
                _mixed(f"{name}:{step}:{first}", source, part, (channels, *shape[1:]), picked)
            )
            parts.append(part)
        source = output if half == 1 else f"{output}:{step}"
        state.emit(Extreme(f"{name}:{step}", tuple(parts), source, True))
        channels = half


def _mixed(
    name: str,
    source: str,
    output: str,
    shape: tuple[int, ...],
    matrix: NDArray[np.int64],
    bits: int = 0,
) -> Op:
    """A layer that mixes channels by `matrix * 2**-bits`."""
    sides = (1,) * (len(shape) - 1)
    weight = Weight(matrix.reshape(*matrix.shape, *sides), np.array([bits]), 2)
    if not sides:
        return Linear(name, (source,), output, weight, None)
    return Conv(name, (source,), output, weight, None, Window.plain(*sides))


def _as_image(
    kind: type[AveragePool | MaxPool | SumPool],
    name: str,
    source: str,
    output: str,
    shape: tuple[int, ...],
    places: tuple[int, ...],
    state: Importer,
) -> None:
    """The reduced axes as the rows of an image."""
    rest = tuple(place for place in range(len(shape)) if place not in places)
    outer, inner = (prod(shape[place] for place in part) for part in (rest, places))
    image, pooled = f"{output}:image", f"{output}:pooled"
    moved = state.moved(source, (*rest, *places))
    state.emit(Reshape(f"{name}:image", (moved,), image, (outer, inner, 1)))
    state.emit(kind(name, (image,), pooled, Window.plain(inner, 1)))
    state.emit(Reshape(f"{name}:shape", (pooled,), output, _kept(shape, places)))
