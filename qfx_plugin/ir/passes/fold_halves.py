"""Half an LSB of a cast to the nearest, in the bias in front: the cast truncates.

`floor(x / LSB + 1/2)` either way, also of `relu(x)` and where it saturates.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brevitas_quantizers.fixed_point.modes import OverflowMode, RoundingMode

from ..graph import Graph
from ..ops import Quantize, Relu, Weighted
from ..types import Codes, Weight
from .edit import is_read_once, with_ops

MAX_BITS = 30
"""A bias that needs more stays as it is: targets add constants of some 31 bits."""


def fold_halves(graph: Graph) -> Graph:
    """The graph with such casts behind a layer, or its ReLU, that nothing else reads."""
    ops = {op.output: op for op in graph.ops}
    for op in graph.ops:
        if not isinstance(op, Quantize) or (layer := _layer_of(op, graph)) is None:
            continue
        if (bias := _with_half(layer, op, graph)) is not None:
            ops[layer.output] = replace(layer, bias=bias)
            ops[op.output] = replace(op, rounding=RoundingMode.AP_TRN)
    return with_ops(graph, ops.values())


def _layer_of(op: Quantize, graph: Graph) -> Weighted | None:
    """The layer whose sums, and nobody else's, a cast rounds."""
    if (
        op.rounding is not RoundingMode.AP_RND or op.overflow is OverflowMode.AP_WRAP_SM
    ):  # which looks at what is rounded off
        return None
    tensor = op.inputs[0]
    while is_read_once(graph, tensor):
        found = graph.producer(tensor)
        if isinstance(found, Weighted):
            return found
        if not isinstance(found, Relu):
            return None
        tensor = found.inputs[0]
    return None


def _with_half(layer: Weighted, op: Quantize, graph: Graph) -> Weight | None:
    """The layer's bias and half an LSB of `op`, or none where nothing rounds, or too wide."""
    bits = graph.fixed_type(layer.output).frac_bits
    shape = (layer.outputs,)
    lost = np.broadcast_to(bits, shape) - np.broadcast_to(op.points, shape)
    if (lost <= 0).all() or lost.max() > MAX_BITS:
        return None
    half = np.where(lost > 0, 1 << np.maximum(lost - 1, 0), 0).astype(np.int64)
    total = layer.add_bias(half[np.newaxis].copy(), graph.fixed_type(layer.inputs[0]))[0]
    width = int(np.abs(total).max()).bit_length() + 1
    if width > MAX_BITS:
        return None
    points: Codes = np.broadcast_to(bits, shape) if bits.size > 1 else bits
    name = "" if layer.bias is None else layer.bias.name
    return Weight(total, points, width, True, name=name)
