"""Everything in a file that is no exact fixed point, collected and reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from brevitas_quantizers.fixed_point.errors import UnsupportedModelError

from .node import Node

_SHOWN = 2
_VALUE = re.compile(r"'[^']*'|\[[^\]]*\]|[+-]?\d[\d.]*(e[+-]?\d+)?")
"""What differs between two refusals of one kind: names, sizes, numbers."""


class OperandTypeError(UnsupportedModelError):
    """Types of operands that do not fit: no obstacle of its own where one of them is a guess."""


class Refusals:
    """Collects what cannot be read; one line for each kind: a node, why, and which others.

    What is behind a node that was refused is not looked at twice: `blocks` tells.

    Args:
        name: of the network.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._kinds: dict[str, dict[str, UnsupportedModelError]] = {}
        self._lost: set[str] = set()
        self._refused: set[str] = set()
        self._guessed: set[str] = set()

    def add(self, node: Node, error: UnsupportedModelError) -> None:
        """Note what stands in the way at `node`, whose results may be known all the same."""
        kind = f"{node.op_type} {_VALUE.sub('', str(error))}"
        self._kinds.setdefault(kind, {}).setdefault(node.label, error)
        self._guessed.update(filter(None, node.outputs))

    def follow(self, node: Node) -> None:
        """Note that the types of results are a guess where an operand's is; a cast ends that."""
        if not node.is_quant and self._guesses(node):
            self._guessed.update(filter(None, node.outputs))

    def _guesses(self, node: Node) -> bool:
        return not self._guessed.isdisjoint(node.inputs)

    @contextmanager
    def collecting(self, node: Node) -> Iterator[None]:
        """Note a refusal of `node`, once; its results are lost."""
        try:
            yield
        except UnsupportedModelError as error:
            is_guess = isinstance(error, OperandTypeError) and self._guesses(node)
            if node.label not in self._refused and not is_guess:
                self.add(node, error)
            self._refused.add(node.label)
            self._lost.update(node.outputs)

    def blocks(self, node: Node) -> bool:
        """Whether `node` was refused or reads what was lost; so are its results then."""
        if self._lost.isdisjoint((*filter(None, node.inputs), *node.outputs)):
            return False
        self._lost.update(node.outputs)
        return True

    def raise_if_any(self) -> None:
        """Report all of them; a lone one as it is.

        Raises:
            UnsupportedModelError: there is at least one.
        """
        count = sum(map(len, self._kinds.values()))
        if count == 1:
            ((error,),) = (found.values() for found in self._kinds.values())
            raise error
        lines = [_line(found) for found in self._kinds.values()]
        if len(lines) == 1:
            raise UnsupportedModelError(lines[0])
        if lines:
            raise UnsupportedModelError(
                f"{self._name}: {count} nodes of {len(lines)} kinds are no exact fixed point:\n"
                + "\n".join(f"  {line}" for line in lines)
            )


def _line(found: dict[str, UnsupportedModelError]) -> str:
    labels = list(found)
    if len(labels) == 1:
        return str(found[labels[0]])
    shown = ", ".join(labels[1 : 1 + _SHOWN])
    more = f" and {len(labels) - 1 - _SHOWN} more" if len(labels) > 1 + _SHOWN else ""
    return f"{found[labels[0]]}; so {'are' if len(labels) > 2 else 'is'} {shown}{more}"
