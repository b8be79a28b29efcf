"""A network that does nothing, for tests of the shell alone: what goes in comes out."""

from __future__ import annotations

from qfx_plugin.ir import Graph, Input, Quantize
from qfx_plugin.rtl.graph.kernel import PortTensor
from qfx_plugin.rtl.ports import hardware_ports
from qfx_plugin.shell.wrap import NetworkRtl


def through(
    shape: tuple[int, ...],
    width: int,
    frac_bits: int | tuple[int, ...] = 0,
    *,
    signed: bool = True,
    streaming: bool = True,
) -> NetworkRtl:
    """The cast of an input, and nothing behind it.

    Args:
        shape: of the input.
        width: of its codes.
        frac_bits: one, or one per channel.
        signed: whether codes are.
        streaming: AXI-Stream ports, or plain ones.
    """
    graph = Graph(
        (
            Input("input", (), "x", shape),
            Quantize("cast", ("x",), "y", width, frac_bits, signed),
        ),
        ("y",),
        "through",
    )
    (source,), (sink,) = hardware_ports(graph)
    text = _stream(source, sink) if streaming else _plain(source, sink)
    style = "streaming" if streaming else "unrolled"
    return NetworkRtl(graph, "through", style, 0, 1, {"through.sv": text})


def _stream(source: PortTensor, sink: PortTensor) -> str:
    bits, a, b = source.beat_lanes.bits, source.port, sink.port
    return (
        "module through (\n"
        "    // verilator lint_off UNUSEDSIGNAL\n    input logic clk, input logic rst,\n"
        "    // verilator lint_on UNUSEDSIGNAL\n"
        f"    input logic [{bits - 1}:0] {a}_tdata, input logic {a}_tvalid, output {a}_tready,\n"
        f"    output logic [{bits - 1}:0] {b}_tdata, output {b}_tvalid, input logic {b}_tready\n"
        ");\n"
        f"  assign {b}_tdata = {a}_tdata;\n  assign {b}_tvalid = {a}_tvalid;\n"
        f"  assign {a}_tready = {b}_tready;\nendmodule\n"
    )


def _plain(source: PortTensor, sink: PortTensor) -> str:
    bits = source.lanes.bits
    return (
        f"module through (input wire [{bits - 1}:0] {source.port}, "
        f"output wire [{bits - 1}:0] {sink.port});\n"
        f"  assign {sink.port} = {source.port};\nendmodule\n"
    )
