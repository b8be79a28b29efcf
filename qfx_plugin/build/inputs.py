"""Random inputs that reach every code of a network's input, ties and overflow included."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..ir import Graph, Quantize


def input_cast(graph: Graph) -> Quantize:
    """The cast of a network's only input.

    Raises:
        DataError: the graph has several inputs, or its input is not cast.
    """
    if len(graph.inputs) != 1:
        raise DataError(f"{len(graph.inputs)} inputs cannot be drawn at random: use --inputs")
    (source,) = graph.inputs
    casts = [op for op in graph.consumers(source.output) if isinstance(op, Quantize)]
    if not casts:
        raise DataError(f"input {source.output!r} is not quantized: use --inputs")
    return casts[0]


def random_inputs(graph: Graph, samples: int, seed: int) -> NDArray[np.float32]:
    """Inputs on a grid four times finer than the first cast's, a quarter beyond its range.

    Args:
        graph: with one input.
        samples: how many.
        seed: of the generator.

    Returns:
        (samples, *shape) float32: every code, every tie and both kinds of overflow are likely.

    Raises:
        DataError: the graph has several inputs, or its input is not cast.
    """
    fmt = min(input_cast(graph).formats, key=lambda one: one.frac_bits)
    step = max(fmt.lsb / 4, (fmt.max - fmt.min) * 2.0**-22)
    margin = (fmt.max - fmt.min) / 4
    low, high = int((fmt.min - margin) / step), int((fmt.max + margin) / step)
    shape = graph.inputs[0].shape
    steps = np.random.default_rng(seed).integers(low, high + 1, (samples, *shape))
    return (steps * step).astype(np.float32)
