"""Biases into the matrix-vector units, which add them for nothing.

A `QFXRequant` behind a `QFXMVU` computes `cast((x * 2**a + o) * 2**-s)` for each channel. With
`o = q * 2**a` that is `cast(((x + q) * 2**a) * 2**-s)`: the unit adds q. A bias that is finer than
the sums makes the weights larger by `2**a` instead. A `QFXRequant` that has nothing left to do
disappears.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import adapter
from .affine import NEVER
from .plan import datatype


def absorb_biases(model: Any) -> Any:
    """Move the offsets of `QFXRequant` into the `QFXMVU` in front, in place.

    Nobody else reads the sums: where a tensor forks, a `QFXDuplicate` stands between.
    """
    get_op = adapter.module("qonnx.custom_op.registry").getCustomOp
    for node in list(model.graph.node):
        if node.op_type != "QFXRequant":
            continue
        source = model.find_producer(node.input[0])
        if source is None or source.op_type != "QFXMVU":
            continue
        requant = get_op(node)
        if requant.function.shifts_only:
            _absorb(model, get_op(source), requant)
        if _is_identity(requant):
            _drop(model, node, get_op(source))
    return model


def _absorb(model: Any, mvu: Any, requant: Any) -> None:
    mult = np.asarray(requant.get_nodeattr("mult"), dtype=np.int64)
    offset = np.asarray(requant.get_nodeattr("offset"), dtype=np.int64)
    low, high = _span(mvu.get_output_datatype())
    if (offset % mult).any() or (_is_unbound(requant) and (mult > 1).any()):
        # Finer sums, by larger weights: for K-hot ones, other shifts.
        matrix = mvu.matrix * mult[:, np.newaxis]
        mvu.set_nodeattr("weight", narrow(matrix))
        low, high = low * int(mult.max()), high * int(mult.max())
        start, added, mult = mvu.start * mult + offset, offset, np.ones_like(mult)
    else:
        added = offset // mult
        start = mvu.start + added
    exact = sum_range(mvu.matrix, start, mvu.get_input_datatype())
    low, high = min(low, 0) + int(added.min()), max(high, 0) + int(added.max())
    name = datatype(max(low, exact[0]), min(high, exact[1]))
    mvu.set_nodeattr("bias", start.tolist())
    mvu.set_nodeattr("outputDataType", name)
    requant.set_nodeattr("mult", mult.tolist())
    requant.set_nodeattr("offset", [0] * len(mult))
    requant.set_nodeattr("inputDataType", name)
    model.set_tensor_datatype(mvu.onnx_node.output[0], mvu.get_output_datatype())


def narrow(codes: NDArray[np.int64]) -> NDArray[Any]:
    """The same codes in the smallest type of signed integers."""
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= codes.min() and codes.max() <= np.iinfo(kind).max:
            return codes.astype(kind)
    return codes


def sum_range(matrix: Any, start: Any, kind: Any) -> tuple[int, int]:
    """Smallest and largest sum of any inputs of a type."""
    plus, minus = np.maximum(matrix, 0).sum(axis=1), np.minimum(matrix, 0).sum(axis=1)
    low, high = int(kind.min()), int(kind.max())
    return (
        int((plus * low + minus * high + start).min()),
        int((plus * high + minus * low + start).max()),
    )


def _span(kind: Any) -> tuple[int, int]:
    return int(kind.min()), int(kind.max())


def _is_unbound(requant: Any) -> bool:
    """Whether it only brings sums to another binary point."""
    step = requant.function
    never = (step.low <= -NEVER).all() and (step.high >= NEVER).all()
    return bool(step.shift == 0 and never)


def _is_identity(requant: Any) -> bool:
    step = requant.function
    return _is_unbound(requant) and bool((step.mult == 1).all() and not step.offset.any())


def _drop(model: Any, node: Any, mvu: Any) -> None:
    """The unit writes what the dropped node wrote, in the proven type of that."""
    kind = model.get_tensor_datatype(node.output[0])
    mvu.onnx_node.output[0] = node.output[0]
    mvu.set_nodeattr("outputDataType", kind.name)
    model.graph.node.remove(node)
