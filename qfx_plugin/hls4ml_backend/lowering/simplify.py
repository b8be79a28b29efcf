"""Detours that hls4ml does not need: identities, separate biases, the pair for `AP_RND`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brevitas_quantizers.fixed_point.modes import RoundingMode

from ...ir import Add, Constant, Conv, FixedType, Graph, Identity, Linear, Op, Quantize


def simplify(graph: Graph) -> Graph:
    """The same function with fewer operations.

    `Identity` disappears; a constant added to a layer without bias (MatMul and Add) becomes its
    bias; `Add(x, half an LSB)` with a truncating `Quantize` becomes one `Quantize` with
    `AP_RND`; what the output does not depend on is dropped.
    """
    aliases: dict[str, str] = {}
    ops: dict[str, Op] = {}
    for op in graph.ops:
        op = replace(op, inputs=tuple(aliases.get(name, name) for name in op.inputs))
        if isinstance(op, Identity):
            aliases[op.output] = op.inputs[0]
            continue
        if isinstance(op, Quantize):
            op = _merge_half(op, ops, graph)
        elif isinstance(op, Add):
            op = _merge_bias(op, ops, graph)
        ops[op.output] = op
    outputs = tuple(aliases.get(name, name) for name in graph.outputs)
    needed = set(outputs)
    for op in reversed(ops.values()):
        if op.output in needed:
            needed.update(op.inputs)
    live = tuple(op for name, op in ops.items() if name in needed)
    return replace(graph, ops=live, outputs=outputs).verify()


def _merge_bias(op: Add, ops: dict[str, Op], graph: Graph) -> Op:
    """`op`, or the layer in front of it with the constant as its bias."""
    for constant, source in (op.inputs, op.inputs[::-1]):
        layer, bias = ops[source], ops[constant]
        if not (isinstance(layer, Linear | Conv) and isinstance(bias, Constant)):
            continue
        channels_only = (layer.outputs, *[1] * (len(graph.types()[source].shape) - 1))
        is_free = layer.bias is None and len(graph.consumers(source)) == 1
        if is_free and source not in graph.outputs and bias.weight.codes.shape == channels_only:
            weight = replace(bias.weight, codes=bias.weight.codes.reshape(-1))
            return replace(layer, bias=weight, output=op.output)
    return op


def _merge_half(op: Quantize, ops: dict[str, Op], graph: Graph) -> Quantize:
    """`op`, or its `AP_RND` twin that reads past the Add in front of it."""
    add = ops.get(op.inputs[0])
    if op.rounding is not RoundingMode.AP_TRN or not isinstance(add, Add):
        return op
    for constant, source in (add.inputs, add.inputs[::-1]):
        producer = ops[constant]
        if isinstance(producer, Constant) and _is_half(producer, op):
            types = graph.types()
            if types[source].shape == types[add.output].shape:
                return replace(op, inputs=(source,), rounding=RoundingMode.AP_RND)
    return op


def _is_half(constant: Constant, op: Quantize) -> bool:
    """Whether every element of `constant` is half an LSB of the (one) format of `op`."""
    points = set(map(int, op.points))
    kind = constant.result()
    if len(points) != 1 or not isinstance(kind, FixedType):
        return False
    values = np.ldexp(kind.low.astype(np.float64), -kind.frac_bits)
    uniform = np.array_equal(kind.low, kind.high)
    return uniform and bool((values == 2.0 ** -(points.pop() + 1)).all())
