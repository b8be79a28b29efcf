"""The operations that an importer takes, each announced where its converter stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from .consumers import Consumers
from .facts import refuse_operation
from .node import Node
from .others import REWRITTEN


class Import(Protocol):
    """State of one import.

    Attributes:
        consumers: of each tensor.
        done: outputs of nodes that one before them has taken in.
    """

    consumers: Consumers
    done: set[str]


Builder = TypeVar("Builder", bound=Import)


class Register(Generic[Builder]):
    """Converters by the type of the node; iterating gives the types in alphabetical order.

    Attributes:
        converters: of the standard domain.
        sums: types whose results are sums or products of many more bits than their operands.
    """

    def __init__(self) -> None:
        self.converters: dict[str, Callable[[Node, Builder], None]] = {}
        self._channels_last: set[str] = set()
        self.sums: set[str] = set()
        self._chains: dict[tuple[str, ...], Callable[[list[Node], Builder], None]] = {}

    def chain(
        self, *chains: tuple[str, ...]
    ) -> Callable[[Callable[[list[Node], Builder], None]], Callable[[list[Node], Builder], None]]:
        """Decorate the converter of nodes that mean something only together.

        Args:
            chains: types of the standard domain; each node is the only reader of the one before.
        """

        def announce(
            converter: Callable[[list[Node], Builder], None],
        ) -> Callable[[list[Node], Builder], None]:
            self._chains |= dict.fromkeys(chains, converter)
            return converter

        return announce

    def __call__(
        self, *op_types: str, channels_last: bool = False, sums: bool = False
    ) -> Callable[[Callable[[Node, Builder], None]], Callable[[Node, Builder], None]]:
        """Decorate the converter of `op_types`.

        Args:
            op_types: of the standard domain.
            channels_last: whether it takes nodes of QONNX's channels-last domain too.
            sums: whether they belong to `sums`.
        """

        def announce(
            converter: Callable[[Node, Builder], None],
        ) -> Callable[[Node, Builder], None]:
            self.converters |= dict.fromkeys(op_types, converter)
            self._channels_last |= set(op_types if channels_last else ())
            self.sums |= set(op_types if sums else ())
            return converter

        return announce

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.converters))

    def convert(self, node: Node, builder: Builder) -> None:
        """Hand a node to its converter.

        Raises:
            UnsupportedModelError: nobody takes such a node.
        """
        for op_types, chain_converter in self._chains.items():
            nodes = _followed(node, len(op_types), builder.consumers)
            if tuple(one.op_type for one in nodes if one.is_standard) == op_types:
                builder.done.update(one.output for one in nodes[1:])
                chain_converter(nodes, builder)
                return
        self.converter(node)(node, builder)

    def check(self, node: Node) -> None:
        """Refuse a node that nobody would take, whatever it reads."""
        known = node.is_quant or node.is_constant or node.op_type == "Shape"
        if not known and node.op_type not in REWRITTEN:
            self.converter(node)

    def converter(self, node: Node) -> Callable[[Node, Builder], None]:
        """Who takes a node that stands alone.

        Raises:
            UnsupportedModelError: nobody takes such a node.
        """
        known = node.is_standard or (node.is_channels_last and node.op_type in self._channels_last)
        converter = self.converters.get(node.op_type) if known else None
        if converter is None:
            raise refuse_operation(node, self)
        return converter


def _followed(node: Node, most: int, consumers: Consumers) -> list[Node]:
    """`node` and those behind it, each the only reader of the one before."""
    nodes = [node]
    while len(nodes) < most and len(nodes[-1].outputs) == 1:
        after = consumers.only(nodes[-1].output)
        if after is None:
            break
        nodes.append(after)
    return nodes
