"""A constant per channel that is added to a layer without bias is its bias: MatMul and Add."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..ops import Add, Op, Weighted
from .edit import is_read_once, with_constant, with_ops


def merge_biases(graph: Graph) -> Graph:
    """The graph with such additions in the layers in front of them.

    The layer then stands where the addition stood, and has its tensor.
    """
    ops: dict[str, Op] = {}
    for op in graph.ops:
        layer = _with_bias(graph, op)
        if layer is not None:
            source, _ = with_constant(graph, op) or ("", None)
            del ops[source]
        ops[op.output] = op if layer is None else layer
    return with_ops(graph, ops.values())


def _with_bias(graph: Graph, op: Op) -> Weighted | None:
    """The layer in front of an addition, with its constant as bias."""
    found = with_constant(graph, op) if isinstance(op, Add) else None
    if found is None:
        return None
    source, constant = found
    layer, weight = graph.producer(source), constant.weight
    if not isinstance(layer, Weighted) or layer.bias is not None:
        return None
    channels = (layer.outputs, *[1] * (len(graph.types()[source].shape) - 1))
    if not is_read_once(graph, source) or weight.codes.shape != channels:
        return None
    bias = replace(weight, codes=weight.codes.reshape(-1))
    return replace(layer, bias=bias, output=op.output)
