"""Codes that several tables look up: each gets the nodes that make them, to be read with it."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from ..node import Node

_MAKE_CODES = ("Div", "Cast", "Sub")
_INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


def unshared(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes, with codes of a table made once for each of their readers.

    Args:
        nodes: in their order.
        outputs: of the graph.
    """
    casts = {node.output_or_none for node in nodes if _is_cast(node)}
    found: list[Node] = []
    for node in reversed(nodes):
        readers = _readers(node, found, casts) if node.op_type in _MAKE_CODES else []
        if len(readers) > 1 and node.output not in outputs:
            for number, reader in enumerate(readers[:-1], 1):
                name = f"{node.output}:{number}"
                place, copy = found.index(reader), _renamed(node, "output", node.output, name)
                found[place : place + 1] = [_renamed(reader, "input", node.output, name), copy]
                casts |= {name} if node.output in casts else set()
        found.append(node)
    return found[::-1]


def _is_cast(node: Node) -> bool:
    return node.is_standard and node.op_type == "Cast" and node.integer("to", 0) in _INTEGERS


def _readers(node: Node, behind: Sequence[Node], casts: set[str | None]) -> list[Node]:
    """Who reads a part of such a chain; nobody, if it is something else."""
    if not node.is_standard or len(node.outputs) != 1:
        return []
    readers = [one for one in behind if node.output in one.inputs]
    if node.op_type == "Div":
        return readers if all(one.output_or_none in casts for one in readers) else []
    return readers if not casts.isdisjoint((*node.inputs, node.output)) else []


def _renamed(node: Node, which: str, old: str, new: str) -> Node:
    """A copy of the node with another operand or result."""
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    names = getattr(proto, which)
    names[:] = [new if name == old else name for name in names]
    if which == "output":
        proto.name = f"{node.name}:{new.rpartition(':')[2]}"
    return Node(proto)
