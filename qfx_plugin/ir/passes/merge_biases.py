"""A constant per channel that is added to a layer without bias is its bias: MatMul and Add."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..ops import Add, Op, Weighted
from .edit import is_read_once, with_ops


def merge_biases(graph: Graph, finer: bool = True) -> Graph:
    """The graph with such additions in the layers in front of them.

    The layer then stands where the addition stood, and has its tensor.

    Args:
        graph: the network.
        finer: also constants on a finer binary point than the sums, which makes weights wider.
    """
    ops: dict[str, Op] = {}
    for op in graph.ops:
        source, layer = _with_bias(graph, op, finer)
        ops.pop(source, None)
        ops[op.output] = layer
    return with_ops(graph, ops.values())


def _with_bias(graph: Graph, op: Op, finer: bool) -> tuple[str, Op]:
    """The layer in front of an addition, with its constant as bias, and the layer's own tensor.

    Without such a layer, the operation itself, and no name.
    """
    found = graph.constant_operand(op) if isinstance(op, Add) else None
    if found is None:
        return "", op
    source, constant = found
    layer, weight = graph.producer(source), constant.weight
    if not isinstance(layer, Weighted) or layer.bias is not None:
        return "", op
    channels = (layer.outputs, *[1] * (len(graph.types()[source].shape) - 1))
    if not is_read_once(graph, source) or weight.codes.shape != channels:
        return "", op
    if not finer and (weight.frac_bits > graph.fixed_type(source).frac_bits).any():
        return "", op
    bias = replace(weight, codes=weight.codes.reshape(-1))
    return source, replace(layer, bias=bias, output=op.output)
