"""Random inputs that reach every code of the input casts, and values beyond their range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ir import Graph, Quantize
from .ports import entry_tensors

MARGIN = 0.125


def random_inputs(graph: Graph, samples: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """(samples, *shape) float64 for each input of the network, by name.

    Values are uniform over the widest input cast, and an eighth of its range beyond both ends.
    """
    rng = np.random.default_rng(seed)
    low, high = -1.0, 1.0
    for name in entry_tensors(graph):
        cast = graph.producer(name)
        if isinstance(cast, Quantize):
            low = min([low, *(float(fmt.min) for fmt in cast.formats)])
            high = max([high, *(float(fmt.max) for fmt in cast.formats)])
    extra = MARGIN * (high - low)
    return {
        op.output: rng.uniform(low - extra, high + extra, size=(samples, *op.shape))
        for op in graph.inputs
    }
