"""Rewrite what others write, node by node, before an importer looks at it."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from ..constants import RawConstants
from ..node import Node
from ..order import ordered_nodes
from ..read import QUANT_DOMAINS
from ..refusals import Refusals
from .arithmetic import BINARY, rewrite_bias, rewrite_binary, rewrite_norm
from .fold import FOLDED, constant_value, fold
from .qcdq import Qcdq
from .ranks import follow_rank, known_ranks
from .share import unshared
from .thresholds import rewrite_thresholds, rewrite_trunc
from .writer import CastConstant, Writer

_REPLACED = {
    "BatchNormalization": rewrite_norm,
    "MultiThreshold": rewrite_thresholds,
    "Trunc": rewrite_trunc,
}
REWRITTEN = frozenset((*_REPLACED, *FOLDED, "QuantizeLinear", "DequantizeLinear"))
"""Operations that an importer need not know: none of them is left, but behind what was refused."""
_MAX_FOLDED = 1 << 26
"""Elements of all constants that are computed."""


def adopt(
    model: onnx.ModelProto, outputs: Sequence[str], refusals: Refusals, snap: bool = False
) -> tuple[onnx.GraphProto, list[CastConstant]]:
    """The graph with nodes of QONNX only; the model's own where there is nothing to rewrite.

    Args:
        model: of the file; not changed.
        outputs: what is needed of it.
        refusals: collects what has no exact form.
        snap: cast float constants that have none.

    Returns:
        The graph, and the constants that were cast.
    """
    graph = model.graph
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    nodes = ordered_nodes([Node(proto) for proto in graph.node], known, outputs)
    whole = unshared(nodes, outputs)
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 13)
    adoption = _Adoption(graph, whole, refusals, snap, opset, outputs)
    return adoption.run(len(whole) > len(nodes))


class _Adoption:
    def __init__(
        self,
        graph: onnx.GraphProto,
        nodes: list[Node],
        refusals: Refusals,
        snap: bool,
        opset: int,
        outputs: Sequence[str],
    ) -> None:
        self._graph, self._nodes, self._refusals, self._opset = graph, nodes, refusals, opset
        self._odd = {n.outputs[0]: v for n in nodes if n.is_constant and n.outputs
                     and (v := constant_value(n)) is not None}  # fmt: skip
        plain = [n for n in nodes if n.output_or_none not in self._odd]
        self._writer = Writer(RawConstants(graph, plain), known_ranks(graph), snap, refusals.add)
        self._writer.made.update(self._odd)
        self._qcdq = Qcdq(self._writer, outputs)
        self._folded = 0

    def run(self, changed: bool) -> tuple[onnx.GraphProto, list[CastConstant]]:
        """The graph, and casts; `changed` tells whether the nodes are others than the file's."""
        writer, changed = self._writer, changed or bool(self._odd)
        for node in self._nodes:
            if node.output_or_none in self._odd:
                continue
            rewritten = False
            if not self._refusals.blocks(node):
                with self._refusals.collecting(node):
                    rewritten = self._rewrite(node)
            changed |= rewritten
            if not rewritten:
                writer.nodes.append(self._qcdq.cut_off(node))
            follow_rank(node, writer.ranks, writer.constants)
        return (writer.graph(self._graph) if changed else self._graph), writer.changed

    def _rewrite(self, node: Node) -> bool:
        """Whether something else stands for `node` now."""
        writer = self._writer
        if self._fold(node) or self._qcdq.takes(node):
            return True
        if node.op_type in _REPLACED and (node.is_standard or node.domain in QUANT_DOMAINS):
            _REPLACED[node.op_type](node, writer)
            return True
        if not node.is_standard:
            return False
        return (
            rewrite_binary(node, writer) if node.op_type in BINARY else rewrite_bias(node, writer)
        )

    def _fold(self, node: Node) -> bool:
        """Compute what depends on constants alone."""
        names = dict.fromkeys(filter(None, node.inputs))
        values = {name: self._writer.value(name) for name in names}
        found = {name: value for name, value in values.items() if value is not None}
        if not node.is_standard or not found or len(found) < len(values):
            return False
        if node.op_type == "Identity" and found.keys() <= self._writer.made.keys():
            results = list(found.values())
        elif node.op_type in FOLDED:
            results = fold(node, found, self._opset)
        else:
            return False
        self._folded += sum(result.size for result in results)
        if self._folded > _MAX_FOLDED:
            raise node.refuse(f"constants that are computed exceed {_MAX_FOLDED} elements")
        self._writer.made.update(zip(node.outputs, results, strict=False))
        return True
