"""Casts that wrap or give zero as nodes in front of a Quant; see `onnx_files.overflows`."""

from __future__ import annotations

import copy

import onnx
from onnx import helper

from brevitas_quantizers.onnx_files import has_word, written_cast

from .patterns import ExportedQuants, is_quant


def write_overflows(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose nodes compute every overflow mode of activations; tensors keep their names."""
    rewritten = copy.deepcopy(model)
    graph = rewritten.graph
    casts = ExportedQuants(graph)
    nodes: list[onnx.NodeProto] = []
    absorbed = set[str]()
    for node in graph.node:
        nodes.append(node)
        if not is_quant(node) or node.input[0] in casts.constants:
            continue
        cast = casts.read(node)
        if has_word(cast.overflow, cast.signed):
            continue
        written = written_cast(
            cast.source, cast.output, cast.scale, cast.width, cast.signed, cast.rounding,
            cast.overflow,
        )  # fmt: skip
        nodes[-1:] = [*written.nodes, node]
        graph.initializer.extend(written.initializers)
        node.input[0] = written.x
        for attribute in node.attribute:
            if attribute.name == "rounding_mode":
                attribute.CopyFrom(helper.make_attribute("rounding_mode", "ROUND"))
        if cast.half is not None:  # the name that metadata has of what reads the operand
            absorbed.add(cast.half)
            node.name = casts.producers[cast.half].name
    read = {name for node in nodes for name in node.input}
    kept = [node for node in nodes if node.output[0] not in absorbed or node.output[0] in read]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(kept)
    return rewritten
