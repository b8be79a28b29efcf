"""Sums, means and extremes over whole dimensions, as pools and convolutions with ones."""

from __future__ import annotations

from math import prod

import numpy as np

from brevitas_quantizers.onnx_files import Node, Reduction, check_area

from ..ir import AveragePool, Conv, Linear, MaxPool, Op, Reshape, SumPool, Weight, Window
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
    if not result:
        raise node.refuse("leaves no dimension behind the batch: use keepdim=True")
    kept = tuple(1 if place in places else size for place, size in enumerate(shape))
    reduced = output if result == kept else f"{output}:reduced"
    _reduced(kind, name, source, reduced, shape, places, state)
    if reduced != output:
        state.emit(Reshape(f"{name}:squeeze", (reduced,), output, result))
    if node.op_type == "ReduceMin":
        state.negated(output, name, node.output)


def _reduced(
    kind: type[AveragePool | MaxPool | SumPool],
    name: str,
    source: str,
    output: str,
    shape: tuple[int, ...],
    places: tuple[int, ...],
    state: Importer,
) -> None:
    """`source` with size 1 at `places`, as `output`."""
    kept = tuple(1 if place in places else size for place, size in enumerate(shape))
    if len(shape) in (2, 3) and 0 not in places:
        kernel = tuple(shape[place] if place in places else 1 for place in range(1, len(shape)))
        state.emit(kind(name, (source,), output, Window.plain(*kernel)))
    elif places == (0,) and kind is not MaxPool and len(shape) <= 3:
        state.emit(_channel_sum(kind, name, source, output, shape))
    else:
        rest = tuple(place for place in range(len(shape)) if place not in places)
        if places != tuple(range(places[0], places[-1] + 1)):
            moved = state.moved(source, (*rest, *places))
            sizes = prod(shape[place] for place in rest), prod(shape[place] for place in places), 1
        else:
            moved = source
            sizes = (
                prod(shape[: places[0]]),
                prod(shape[place] for place in places),
                prod(shape[places[-1] + 1 :]),
            )
        state.emit(Reshape(f"{name}:image", (moved,), f"{output}:image", sizes))
        pooled = f"{output}:pooled"
        state.emit(kind(name, (f"{output}:image",), pooled, Window.plain(sizes[1], 1)))
        state.emit(Reshape(f"{name}:shape", (pooled,), output, kept))


def _channel_sum(
    kind: type[AveragePool | MaxPool | SumPool],
    name: str,
    source: str,
    output: str,
    shape: tuple[int, ...],
) -> Op:
    """A layer of ones, or of one over the number of channels."""
    channels, *sides = shape
    bits = np.array([channels.bit_length() - 1 if kind is AveragePool else 0])
    ones = Weight(np.ones((1, channels, *[1] * len(sides)), np.int64), bits, 2)
    if not sides:
        return Linear(name, (source,), output, ones, None)
    return Conv(name, (source,), output, ones, None, Window.plain(*[1] * len(sides)))
