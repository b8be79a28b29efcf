"""Two turns of axes as one, where the first moves the batch: what came with it in front goes on."""

from __future__ import annotations

import onnx


def join_turns(graph: onnx.GraphProto) -> None:
    """Join each Transpose with one in front of it that moves the batch, in place."""
    turns = {node.output[0]: node for node in graph.node if node.op_type == "Transpose"}
    outputs = {value.name for value in graph.output}
    same: dict[str, str] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = same.get(name, name)
        before = turns.get(node.input[0]) if node.op_type == "Transpose" else None
        if before is None or _axes(before)[0] == 0:
            continue
        first, second = _axes(before), _axes(node)
        joined = [first[axis] for axis in second]
        node.input[0], node.attribute[0].ints[:] = before.input[0], joined
        if joined == sorted(joined) and node.output[0] not in outputs:
            same[node.output[0]] = before.input[0]
    used = {name for node in graph.node for name in node.input} | outputs
    for node in [n for n in turns.values() if n.output[0] not in used or n.output[0] in same]:
        graph.node.remove(node)


def _axes(node: onnx.NodeProto) -> list[int]:
    return list(node.attribute[0].ints)
