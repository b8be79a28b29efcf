"""The product of two matrices of tensors: a layer of ours that reads each wherever it lies."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ...ir import MatMul
from .layers import standard_order
from .plan import exact, reaching
from .state import Lowering, PlannedTensor, handles

_AXES = "outer", "row", "column"


@handles(MatMul)
def lower_matmul(op: MatMul, state: Lowering) -> None:
    """`QFXMatMul`: how far apart elements lie along each axis says where they are."""
    shape, (result, quantize) = state.types[op.output].shape, state.result_of(op)
    outer, rows, columns = shape[:-2], shape[-2], shape[-1]
    operands = [
        _placed(op, index, (*outer, *state.types[name].shape[-2:]), state)
        for index, name in enumerate(op.inputs)
    ]
    order = standard_order(shape)
    if _steps(_matrices(order)) is None:
        order = np.arange(prod(shape)).reshape(shape)
    places = [*(_matrices(operand.order) for operand in operands), _matrices(order)]
    attributes = {
        "outer": prod(outer), "rows": rows, "columns": columns, "inner": places[0].shape[-1],
        "n_left": prod(operands[0].layer.shape), "n_right": prod(operands[1].layer.shape),
        "target_shape": list(state.shape(op.output)),
    }  # fmt: skip
    for name, matrices in zip(("left", "right", "res"), places, strict=True):
        steps = _steps(matrices) or (0, 0, 0)
        attributes |= {f"{name}_{axis}": step for axis, step in zip(_AXES, steps, strict=True)}
    layer = state.emit(
        op, "QFXMatMul", attributes,
        result=result, types={"wide": exact(reaching(state.formats[op.output], result))},
        into=quantize, inputs=tuple(operand.layer for operand in operands),
    )  # fmt: skip
    for name in (op.output, *([quantize.output] if quantize else [])):
        state.values[name] = PlannedTensor(layer, order)


def _placed(op: MatMul, index: int, shape: tuple[int, ...], state: Lowering) -> PlannedTensor:
    """An operand with the outer axes of the result, in even steps through its buffer."""
    value = state.operand(op, index)
    wide = np.broadcast_to(value.order, shape)
    if _steps(_matrices(wide)) is None:
        value = state.gather(f"{op.name}_{index}", op.name, value, _matrices(wide))
        return replace(value, order=value.order.reshape(shape))
    return replace(value, order=wide)


def _matrices(order: NDArray[np.int64]) -> NDArray[np.int64]:
    return order.reshape(-1, *order.shape[-2:])


def _steps(order: NDArray[np.int64]) -> tuple[int, ...] | None:
    """How far apart elements lie along each axis, if everywhere as far, from element 0 on."""
    steps = tuple(
        int(order.take(1, axis).flat[0] - order.flat[0]) if size > 1 else 0
        for axis, size in enumerate(order.shape)
    )
    grid = np.indices(order.shape)
    even = sum(step * index for step, index in zip(steps, grid, strict=True))
    return steps if min(steps) >= 0 and np.array_equal(order, even) else None
