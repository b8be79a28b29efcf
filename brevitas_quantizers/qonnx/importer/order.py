"""The nodes that the outputs need, in an order in which they can run; who reads which tensor."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence

from brevitas_quantizers.fixed_point import ModelImportError

from .node import Node


def ordered_nodes(
    nodes: Sequence[Node], known: Collection[str], outputs: Sequence[str]
) -> list[Node]:
    """Nodes that `outputs` need, in the file's order as far as that is possible.

    Raises:
        ModelImportError: a tensor is defined twice or not at all, or nodes form a cycle.
    """
    producers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in producers or name in known:
                raise node.refuse(f"tensor {name!r} is defined twice")
            producers[name] = index
    waiting = _needed(nodes, producers, known, outputs)
    readers: dict[int, list[int]] = {index: [] for index in waiting}
    for index, sources in waiting.items():
        for source in sources:
            readers[source].append(index)
    ready = [index for index, sources in waiting.items() if not sources]
    heapq.heapify(ready)
    ordered = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(nodes[index])
        for reader in readers[index]:
            waiting[reader].discard(index)
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(ordered) < len(waiting):
        stuck = min(index for index, sources in waiting.items() if sources)
        raise nodes[stuck].refuse("is part of, or behind, a cycle of nodes")
    return ordered


def _needed(
    nodes: Sequence[Node],
    producers: dict[str, int],
    known: Collection[str],
    outputs: Sequence[str],
) -> dict[int, set[int]]:
    """Of each node that the outputs need, the nodes that it waits for."""
    for name in outputs:
        if name not in producers and name not in known:
            raise ModelImportError(f"output {name!r} is not defined by any node")
    waiting: dict[int, set[int]] = {}
    stack = [producers[name] for name in outputs if name in producers]
    while stack:
        index = stack.pop()
        if index in waiting:
            continue
        waiting[index] = set()
        for name in filter(None, nodes[index].inputs):
            if name in producers:
                waiting[index].add(producers[name])
                stack.append(producers[name])
            elif name not in known:
                raise nodes[index].refuse(
                    f"reads tensor {name!r}, which no input, initializer or node defines"
                )
    return waiting


class Readers:
    """Who reads each tensor.

    Args:
        nodes: of the graph.
        outputs: of the graph, which count as readers.
    """

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[str]) -> None:
        self._readers: dict[str, list[Node | None]] = {}
        for name in outputs:
            self._readers.setdefault(name, []).append(None)
        for node in nodes:
            for name in filter(None, node.inputs):
                self._readers.setdefault(name, []).append(node)

    def count(self, name: str) -> int:
        """How often `name` is read, outputs of the graph included."""
        return len(self._readers.get(name, []))

    def only(self, name: str) -> Node | None:
        """The node that reads `name`, if it is the only reader and reads it once."""
        found = self._readers.get(name, [])
        return found[0] if len(found) == 1 else None
