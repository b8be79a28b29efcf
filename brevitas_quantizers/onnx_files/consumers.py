"""Who reads which tensor."""

from __future__ import annotations

from collections.abc import Sequence

from .node import Node


class Consumers:
    """Who reads each tensor.

    Args:
        nodes: of the graph.
        outputs: of the graph, which count as readers.
    """

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[str]) -> None:
        self._consumers: dict[str, list[Node | None]] = {}
        for name in outputs:
            self._consumers.setdefault(name, []).append(None)
        for node in nodes:
            if node.op_type == "Shape" and node.is_standard:
                continue  # asks for a size, not for values
            for name in filter(None, node.inputs):
                self._consumers.setdefault(name, []).append(node)

    def count(self, name: str) -> int:
        """How often `name` is read, outputs of the graph included."""
        return len(self._consumers.get(name, []))

    def only(self, name: str) -> Node | None:
        """The node that reads `name`, if it is the only reader and reads it once."""
        found = self._consumers.get(name, [])
        return found[0] if len(found) == 1 else None
