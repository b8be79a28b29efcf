"""What rewritings of an exported graph look for: constants, readers, the spelling of casts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from brevitas_quantizers.fixed_point import (
    ExportError,
    ModelImportError,
    OverflowMode,
    RoundingMode,
)
from brevitas_quantizers.onnx_files import Node, Quants, RawConstants, Reader, join_overflows

QUANT_TYPES = ("Quant", "IntQuant")


@dataclass(frozen=True, eq=False)
class ExportedQuant:
    """One `Quant` node, read.

    Attributes:
        name: the quantizer's name (`qfx_name`), or the node's.
        source: tensor that is cast; in front of the Add that belongs to the cast, if there is one.
        output: tensor that it defines.
        scale: float32, LSB: 0-dimensional, or as the file has it where channels differ.
        width: word length in bits.
        signed: two's complement if true.
        rounding: mode that readers of the standard execute.
        overflow: likewise, but `qfx_overflow` where the file has it.
        half: output of the Add of half an LSB that belongs to the cast, or None.
    """

    name: str
    source: str
    output: str
    scale: NDArray[np.float32]
    width: int
    signed: bool
    rounding: RoundingMode
    overflow: OverflowMode
    half: str | None


class ExportedQuants:
    """The casts of a graph, and what is known about its names.

    Args:
        graph: of a file.
        reader: whom the file was written for.

    Attributes:
        constants: initializers and Constant nodes by name.
        producers: nodes by their outputs.
        absorbed: outputs of nodes that belong to the casts behind them.
    """

    def __init__(self, graph: onnx.GraphProto, reader: Reader = Reader.QONNX) -> None:
        nodes = [Node(proto) for proto in graph.node]
        self.producers = {name: proto for proto in graph.node for name in proto.output}
        with _as_export_error():
            self.constants = RawConstants(graph, nodes)
        outputs = [value.name for value in graph.output]
        joined = join_overflows(nodes, graph, outputs)
        self._nodes = {name: node for node in joined for name in node.outputs}
        self._quants = Quants(joined, self.constants, outputs, reader)
        self.absorbed = set(self.producers) - set(self._nodes)
        self.absorbed |= {node.output for node in joined if self._quants.takes(node)}

    def read(self, proto: onnx.NodeProto) -> ExportedQuant:
        """What a `Quant` node does.

        Raises:
            ExportError: a scale, zero point or width that is no constant, or no fixed point.
        """
        with _as_export_error():
            spec = self._quants.read(self._nodes.get(proto.output[0]) or Node(proto))
        scale = spec.scales.astype(np.float32)
        return ExportedQuant(
            spec.name or spec.node.name,
            spec.source,
            spec.node.output,
            scale.reshape(()) if scale.size == 1 else scale,
            spec.width,
            spec.signed,
            spec.executed,
            spec.overflow,
            None if spec.half is None else spec.half.add.output,
        )


@contextmanager
def _as_export_error() -> Iterator[None]:
    try:
        yield
    except ModelImportError as error:
        raise ExportError(str(error)) from None


def is_quant(node: onnx.NodeProto) -> bool:
    """Whether the node is a cast of QONNX."""
    return node.op_type in QUANT_TYPES


def drop_unread(graph: onnx.GraphProto) -> None:
    """Remove, in place, nodes whose results nobody reads, then constants and shapes likewise."""
    read = {value.name for value in graph.output}
    for node in reversed(graph.node):  # readers first
        if read & set(node.output):
            read |= set(node.input)
    kept = [
        onnx.NodeProto.FromString(n.SerializeToString()) for n in graph.node if read & set(n.output)
    ]
    del graph.node[:]
    graph.node.extend(kept)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
    known = read | {name for node in graph.node for name in node.output}
    for value in [value for value in graph.value_info if value.name not in known]:
        graph.value_info.remove(value)
