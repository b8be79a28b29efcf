"""Where a float executor itself is wrong, so that a difference says nothing about the file.

qonnx rounds with the modes HALF_UP and HALF_DOWN, and the sum `x + LSB / 2` that stands for AP_RND
in files, by an addition in float32. One ULP from a tie the sum is rounded itself, to the next code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ir import FixedTensor, Graph, Quantize
from ..ir.ops.base import column

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Compared: TypeAlias = Mapping[str, tuple[NDArray[np.bool_], NDArray[np.float64]]]
Slips: TypeAlias = Callable[[Graph, Arrays, Mapping[str, FixedTensor], Compared], NDArray[np.bool_]]
"""(graph, inputs, the interpreter's tensors, what was compared) to (samples,) true where it errs.

What was compared: by tensor, where it differs, and its values in LSBs.
"""


def float32_ties(
    graph: Graph, inputs: Arrays, expected: Mapping[str, FixedTensor], compared: Compared
) -> NDArray[np.bool_]:
    """Samples that differ first at a cast, by one code, and only one ULP from its ties.

    What differs behind that follows from it.
    """
    samples = len(next(iter(inputs.values())))
    undecided, errs = np.ones(samples, dtype=bool), np.zeros(samples, dtype=bool)
    for op in graph.ops:
        if op.output not in compared:
            continue
        wrong, scaled = compared[op.output]
        begins = undecided & wrong.reshape(samples, -1).any(axis=1)
        if begins.any() and isinstance(op, Quantize):
            (source,) = op.inputs
            x = inputs[source] if source in inputs else expected[source].values
            off = np.abs(scaled - expected[op.output].codes)
            known = ~wrong | (_rounds_the_sum(op, x) & (off == 1))
            errs |= begins & known.reshape(samples, -1).all(axis=1)
        undecided &= ~begins
    return errs


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
