"""A network as one adder graph, which takes a sample in each cycle."""

from __future__ import annotations

from ..ir import Graph
from ..ir.passes import apply, fold_halves
from ..units.names import verilog_name
from .graph.alkaid_adapter import version as compiler_version
from .graph.kernel import build_kernel
from .network import RtlNetwork
from .options import RtlOptions
from .ports import hardware_ops, hardware_ports


def build_unrolled(graph: Graph, options: RtlOptions) -> RtlNetwork:
    """The whole network as one adder graph."""
    inputs, outputs = hardware_ports(graph)
    name = top_name(graph, options)
    lowered = apply(graph, fold_halves)
    kernel = build_kernel(
        hardware_ops(lowered), lowered.types(), inputs, outputs, name, options.adder_graph
    )
    facts = {
        "adders": kernel.adders,
        "depth": kernel.depth,
        "cost_lut": round(kernel.cost),
        "compiler": compiler_version(),
    }
    return RtlNetwork(
        name, graph, "unrolled", kernel.files, inputs, outputs, kernel.latency, 1, facts
    )


def top_name(graph: Graph, options: RtlOptions) -> str:
    """A Verilog name for the top module."""
    return verilog_name(options.name or graph.name, fallback="network")
