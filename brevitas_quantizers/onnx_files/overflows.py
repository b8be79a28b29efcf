"""Casts that wrap or give zero: QONNX has no word for them, standard nodes compute them.

    x ─▶ round ─▶ wrap, or zero what is outside ─▶ Quant, which changes nothing any more

The nodes in front (see `exact_nodes`) bring every value to one of the format, and the `Quant` says
the format: `qfx_rounding` and `qfx_overflow` say what the nodes do together. Readers compare them,
node by node and constant by constant, with what these modes are written as; then all is one cast.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import ModeError, OverflowMode, RoundingMode

from .constants import RawConstants
from .exact_nodes import NodeChain, append_cast
from .node import Node


def has_word(overflow: OverflowMode, signed: bool) -> bool:
    """Whether QONNX has an attribute for the mode; unsigned `AP_WRAP_SM` saturates."""
    return overflow in (OverflowMode.AP_SAT, OverflowMode.AP_SAT_SYM) or (
        overflow is OverflowMode.AP_WRAP_SM and not signed
    )


def join_overflows(
    nodes: Sequence[Node], graph: onnx.GraphProto, outputs: Iterable[str]
) -> list[Node]:
    """The nodes with each cast that wraps or gives zero as a single `Quant`.

    Args:
        nodes: in an order in which they can run.
        graph: of the file.
        outputs: of the network; what is one of them stays.

    Returns:
        The nodes; a `Quant` that has taken others in is a copy with their operand and their
        modes as `modes`.
    """
    named = [node for node in nodes if node.is_quant and _said(node) is not None]
    if not named:
        return list(nodes)
    matcher = _Matcher(nodes, RawConstants(graph, nodes))
    joined: dict[str, Node] = {}
    for node in named:
        found = matcher.joined(node)
        if found is not None:
            joined[node.output] = found
    inside = matcher.inside(set(outputs))
    return [
        joined.get(node.output_or_none or "", node)
        for node in nodes
        if node.output_or_none not in inside
    ]


def _said(node: Node) -> tuple[RoundingMode, OverflowMode] | None:
    """The modes of a Quant that has no word for one of them."""
    try:
        modes = (
            RoundingMode.parse(node.text("qfx_rounding", "")),
            OverflowMode.parse(node.text("qfx_overflow", "")),
        )
    except ModeError:  # not there, or what reads the node refuses
        return None
    return None if has_word(modes[1], bool(node.integer("signed", 1))) else modes


@dataclass(eq=False)
class _Matcher:
    """Compares nodes of a file with nodes as they are written."""

    nodes: Sequence[Node]
    constants: Mapping[str, NDArray[np.generic]]
    _taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._producers = {name: node for node in self.nodes for name in node.outputs}

    def joined(self, node: Node) -> Node | None:
        """A Quant as the whole cast, if what is in front of it is what its modes are written as."""
        modes = _said(node)
        if modes is None or len(node.inputs) != 4 or node.inputs[0] in self.constants:
            return None
        scale, width = (self.constants.get(node.inputs[index]) for index in (1, 3))
        if scale is None or width is None or width.size != 1:
            return None  # what reads the node refuses it
        written = written_cast(
            "", "cast", scale.astype(np.float32), int(width.reshape(-1)[0]),
            bool(node.integer("signed", 1)), *modes,
        )  # fmt: skip
        found = _Found(self, written)
        if not found.equal(written.x, node.inputs[0]) or found.source is None:
            return None
        self._taken |= found.outputs
        whole = copy.copy(node)
        whole.inputs = (found.source, *node.inputs[1:])
        whole.modes = modes
        return whole

    def inside(self, outputs: set[str]) -> set[str]:
        """Outputs of the nodes that casts have taken in, and that nobody else reads."""
        kept = outputs | {
            name
            for node in self.nodes
            if node.output_or_none not in self._taken and not node.is_quant
            for name in node.inputs
        }
        pending = [name for name in self._taken if name in kept]
        while pending:
            for name in self._producers[pending.pop()].inputs:
                if name in self._taken and name not in kept:
                    kept.add(name)
                    pending.append(name)
        return self._taken - kept


class _Found:
    """One comparison: the operand that the written nodes have in the file."""

    def __init__(self, matcher: _Matcher, written: NodeChain) -> None:
        self.source: str | None = None
        self.outputs: set[str] = set()
        self._file = matcher
        self._nodes = {name: node for node in written.nodes for name in node.output}
        self._constants = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in written.initializers
        }

    def equal(self, written: str, name: str) -> bool:
        """Whether tensor `name` of the file is computed as `written` is."""
        if written in self._constants:
            wanted, found = self._constants[written], self._file.constants.get(name)
            return found is not None and _alike(wanted, found)
        if written not in self._nodes:  # the operand
            self.source = name if self.source is None else self.source
            return self.source == name
        node, wanted_node = self._file._producers.get(name), self._nodes[written]
        if node is None or not node.is_standard or node.op_type != wanted_node.op_type:
            return False
        if len(node.inputs) != len(wanted_node.input) or len(node.outputs) != 1:
            return False
        self.outputs.add(name)
        pairs = zip(wanted_node.input, node.inputs, strict=True)
        return all(self.equal(*pair) for pair in pairs)


def _alike(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    same_shape = one.shape == other.shape or one.size == other.size == 1
    return same_shape and bool(np.array_equal(one.reshape(-1), other.reshape(-1)))


def written_cast(
    source: str, prefix: str, scale: NDArray[np.float32], width: int, signed: bool,
    rounding: RoundingMode, overflow: OverflowMode,
) -> NodeChain:  # fmt: skip
    """What stands in front of the Quant of a cast that QONNX has no word for."""
    chain = NodeChain(source, prefix)
    scale = scale.reshape(()) if scale.size == 1 else scale
    append_cast(chain, scale, width, signed, rounding, overflow)
    return chain
