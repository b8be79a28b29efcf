"""The nodes that the outputs need, in an order in which they can run."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence

from brevitas_quantizers.fixed_point.errors import ModelFileError

from .node import Node


def ordered_nodes(
    nodes: Sequence[Node], known: Collection[str], outputs: Sequence[str]
) -> list[Node]:
    """Drop nodes that no output needs; keep the file's order where it is an order.

    Args:
        nodes: all nodes of the file.
        known: names of inputs and initializers.
        outputs: names of the network's outputs.

    Raises:
        ModelFileError: a tensor is defined twice or not at all, or nodes form a cycle.
    """
    producers = _producers(nodes, known)
    needed = _needed(nodes, producers, known, outputs)
    waiting = {index: set[int]() for index in needed}
    readers: dict[int, list[int]] = {index: [] for index in needed}
    for index in needed:
        for name in filter(None, nodes[index].inputs):
            if name not in known:
                waiting[index].add(producers[name])
    for index, sources in waiting.items():
        for source in sources:
            readers[source].append(index)
    ready = [index for index, sources in waiting.items() if not sources]
    heapq.heapify(ready)
    ordered: list[Node] = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(nodes[index])
        for reader in readers[index]:
            waiting[reader].discard(index)
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(ordered) < len(needed):
        stuck = min(index for index in needed if waiting[index])
        raise ModelFileError(f"{nodes[stuck].label}: is part of, or behind, a cycle of nodes")
    return ordered


def _producers(nodes: Sequence[Node], known: Collection[str]) -> dict[str, int]:
    producers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in producers or name in known:
                raise ModelFileError(f"{node.label}: tensor {name!r} is defined twice")
            producers[name] = index
    return producers


def _needed(
    nodes: Sequence[Node],
    producers: dict[str, int],
    known: Collection[str],
    outputs: Sequence[str],
) -> set[int]:
    for name in outputs:
        if name not in producers and name not in known:
            raise ModelFileError(f"output {name!r} is not defined by any node")
    needed: set[int] = set()
    stack = [producers[name] for name in outputs if name in producers]
    while stack:
        index = stack.pop()
        if index in needed:
            continue
        needed.add(index)
        for name in filter(None, nodes[index].inputs):
            if name in producers:
                stack.append(producers[name])
            elif name not in known:
                raise ModelFileError(
                    f"{nodes[index].label}: reads tensor {name!r}, which no input, initializer "
                    "or node defines"
                )
    return needed
