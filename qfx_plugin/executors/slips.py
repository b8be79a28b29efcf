"""Where a float executor itself is wrong, so that a difference says nothing about the file.

Float32 holds codes of 24 bits. A sum that may need more is rounded for some inputs, not for others:
where every code is equal, they are proven all the same.

qonnx rounds with the modes HALF_UP and HALF_DOWN, and the sum `x + LSB / 2` that stands for AP_RND
in files, by an addition in float32. One ULP from a tie the sum is rounded itself, to the next code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ir import FixedTensor, FixedType, Graph, Op, Quantize
from ..ir.ops.base import column

FLOAT32_BITS = 24

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Compared: TypeAlias = Mapping[str, tuple[NDArray[np.bool_], NDArray[np.float64]]]
Slips: TypeAlias = Callable[[Graph, Arrays, Mapping[str, FixedTensor], Compared], NDArray[np.bool_]]
"""(graph, inputs, the interpreter's tensors, what was compared) to (samples,) true where it errs.

What was compared: by tensor, where it differs, and its values in LSBs.
"""


def float32_sums(
    graph: Graph, inputs: Arrays, expected: Mapping[str, FixedTensor], compared: Compared
) -> NDArray[np.bool_]:
    """Samples that differ first at a tensor whose codes may be too wide for float32.

    What differs behind that follows from it.
    """
    return _first_at(graph, compared, lambda op: np.array(False))


def float32_sums_and_ties(
    graph: Graph, inputs: Arrays, expected: Mapping[str, FixedTensor], compared: Compared
) -> NDArray[np.bool_]:
    """The same, or at a cast, by one code, and only one ULP from its ties."""

    def on_a_tie(op: Op) -> NDArray[np.bool_]:
        if not isinstance(op, Quantize):
            return np.array(False)
        (source,) = op.inputs
        x = inputs[source] if source in inputs else expected[source].values
        off = np.abs(compared[op.output][1] - expected[op.output].codes)
        return np.asarray(_rounds_the_sum(op, x) & (off == 1))

    return _first_at(graph, compared, on_a_tie)


def _first_at(
    graph: Graph, compared: Compared, known: Callable[[Op], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Samples whose first tensor that differs is a wide sum, or is wrong only where it may be.

    A wide sum that was not compared shows at what reads it.
    """
    samples = len(next(iter(compared.values()))[0])
    undecided, errs = np.ones(samples, dtype=bool), np.zeros(samples, dtype=bool)
    hidden: set[str] = set()
    for op in graph.ops:
        wide = _bits(graph, op) > FLOAT32_BITS or not hidden.isdisjoint(op.inputs)
        if op.output not in compared:
            hidden |= {op.output} if wide else set()
            continue
        wrong, _ = compared[op.output]
        begins = undecided & wrong.reshape(samples, -1).any(axis=1)
        if begins.any():
            errs |= begins & (wide or (~wrong | known(op)).reshape(samples, -1).all(axis=1))
        undecided &= ~begins
    return errs


def _bits(graph: Graph, op: Op) -> int:
    """Of the sums on the way to its output; 0 of an input of floats."""
    fixed = isinstance(graph.types()[op.output], FixedType)
    return graph.significant_bits(op.output) if fixed else 0


def _rounds_the_sum(op: Quantize, x: NDArray[Any]) -> NDArray[np.bool_]:
    """Where `x + 0.5` or `x - 0.5`, in LSBs, is on another side of a whole number in float32."""
    exact = np.ldexp(x.astype(np.float64), column(op.points, x.ndim - 1))
    with np.errstate(over="ignore"):
        rounded, half = exact.astype(np.float32), np.float32(0.5)
    floor = np.floor(exact)
    rest = exact - floor
    up = np.floor(rounded + half) != floor + (rest >= 0.5)
    down = np.ceil(rounded - half) != floor + (rest > 0.5)
    return np.asarray(up | down)
