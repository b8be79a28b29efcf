"""The operations that an importer takes, each announced where its converter stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .facts import refuse_operation
from .node import Node

Builder = TypeVar("Builder")
"""State of one import."""


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
        known = node.is_standard or (node.is_channels_last and node.op_type in self._channels_last)
        converter = self.converters.get(node.op_type) if known else None
        if converter is None:
            raise refuse_operation(node, self)
        converter(node, builder)
