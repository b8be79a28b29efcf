"""Where a network meets the hardware: which tensors enter as codes, and which come out.

A network's inputs are floats until their Quantize. That first cast is the host's work: hardware
takes its codes. Everything behind it is hardware.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TargetError
from ..ir import FixedType, Graph, Input, Op, RealType, interpret
from ..units.names import verilog_name
from .graph.kernel import PortTensor


def entry_tensors(graph: Graph) -> list[str]:
    """Integer tensors made directly from float ones, in the order of the graph."""
    types = graph.types()
    return [
        op.output
        for op in graph.ops
        if isinstance(types[op.output], FixedType)
        and any(isinstance(types[name], RealType) for name in op.inputs)
    ]


def hardware_ops(graph: Graph) -> list[Op]:
    """The operations behind the entries that an output needs, in order."""
    types, entries = graph.types(), set(entry_tensors(graph))
    needed = set(graph.outputs)
    kept = []
    for op in reversed(graph.ops):
        is_host = isinstance(types[op.output], RealType) or op.output in entries
        if op.output in needed and not is_host:
            kept.append(op)
            needed.update(op.inputs)
    return kept[::-1]


def hardware_ports(graph: Graph) -> tuple[tuple[PortTensor, ...], tuple[PortTensor, ...]]:
    """Tensors that enter and leave the hardware, with the names of their ports.

    Raises:
        TargetError: an output is a float, or does not depend on any input.
    """
    taken = ["clk", "graph", "model_inp", "model_out"]
    ops = hardware_ops(graph)
    read = {name for op in ops for name in op.inputs} | set(graph.outputs)
    entries = [name for name in entry_tensors(graph) if name in read]
    if not entries:
        raise TargetError(f"network {graph.name!r}: no output depends on a quantized input")
    sides = []
    for prefix, names in (("in", entries), ("out", list(dict.fromkeys(graph.outputs)))):
        tensors = []
        for name in names:
            port = verilog_name(f"{prefix}_{name}", taken)
            taken.append(port)
            tensors.append(PortTensor(name, graph.fixed_type(name), port))
        sides.append(tuple(tensors))
    return sides[0], sides[1]


def entry_codes(graph: Graph, inputs: Any) -> dict[str, NDArray[np.int64]]:
    """Codes of the entries for float inputs: what the host sends to the hardware.

    Args:
        graph: the network.
        inputs: (batch, *shape) floats by name, or one array; see `interpret`.
    """
    names = entry_tensors(graph)
    front = Graph(_front(graph, names), tuple(names), graph.name)
    return {name: tensor.codes for name, tensor in interpret(front, inputs).items()}


def _front(graph: Graph, names: list[str]) -> tuple[Op, ...]:
    """The operations from the inputs to the entries."""
    types = graph.types()
    return tuple(
        op
        for op in graph.ops
        if isinstance(op, Input) or isinstance(types[op.output], RealType) or op.output in names
    )
