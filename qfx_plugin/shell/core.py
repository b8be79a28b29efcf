"""SystemVerilog around a network: equal slots on the outside, the network's own lanes inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ..driver.layout import Layout
from ..rtl.graph.kernel import PortTensor
from ..simulation.lanes import Lanes
from ..units.names import printable


@dataclass(frozen=True)
class CorePorts:
    """A network's ports.

    Attributes:
        name: of its top module.
        streaming: AXI-Stream ports with a position in a beat; else plain ports for a whole sample.
        latency: cycles of a network with plain ports; 0 if it is combinational.
        inputs: tensors that go in.
        outputs: tensors that come out.
    """

    name: str
    streaming: bool
    latency: int
    inputs: tuple[PortTensor, ...]
    outputs: tuple[PortTensor, ...]

    def lanes(self, tensor: PortTensor) -> Lanes:
        """Lanes of a tensor's port."""
        return tensor.beat_lanes if self.streaming else tensor.lanes

    def all_lanes(self, tensors: Sequence[PortTensor]) -> Lanes:
        """Lanes of several ports side by side."""
        each = [self.lanes(tensor) for tensor in tensors]
        return Lanes(
            tuple(width for lanes in each for width in lanes.widths),
            tuple(signed for lanes in each for signed in lanes.signed),
        )


def core_text(ports: CorePorts, name: str, x: Layout, y: Layout) -> str:
    """The module `name`: stream `x` of positions in, stream `y` of positions out.

    Args:
        ports: of the network.
        name: of the module.
        x: how positions that go in are laid out.
        y: how positions that come out are laid out.
    """
    codes = ports.all_lanes(ports.outputs).bits
    body = [f"  logic [{codes - 1}:0] codes;"]
    for tensor in ports.inputs:
        body.append(f"  logic [{ports.lanes(tensor).bits - 1}:0] {tensor.port}_codes;")
    body += _from_slots(ports, x.bits)
    body += _streaming(ports) if ports.streaming else _plain(ports)
    body += _to_slots(ports.all_lanes(ports.outputs), y)
    lines = [
        f"// {printable(ports.name)} with codes in slots of {x.bits} and {y.bits} bits. "
        "Written by QFX.",
        f"module {name} (",
        "    input  logic clk,",
        "    input  logic rst,  // synchronous, active high",
        "    // verilator lint_off UNUSEDSIGNAL",
        f"    input  logic [{x.word_bits - 1}:0] x_tdata,  // slots are wider than codes",
        "    // verilator lint_on UNUSEDSIGNAL",
        "    input  logic x_tvalid,",
        "    output logic x_tready,",
        f"    output logic [{y.word_bits - 1}:0] y_tdata,",
        "    output logic y_tvalid,",
        "    input  logic y_tready",
        ");",
        *body,
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _plain(ports: CorePorts) -> list[str]:
    """A pipeline that never stands still, made a stream by `qfx_flow`."""
    total = ports.all_lanes(ports.outputs).bits
    lines, low = [], 0
    connections = ["      .clk(clk)"] if ports.latency else []
    connections += [f"      .{tensor.port}({tensor.port}_codes)" for tensor in ports.inputs]
    for tensor in ports.outputs:
        bits = ports.lanes(tensor).bits
        connections.append(f"      .{tensor.port}(result[{low + bits - 1}:{low}])")
        low += bits
    lines.append(f"  logic [{total - 1}:0] result;")
    lines += [f"  {ports.name} network (", ",\n".join(connections), "  );"]
    return [
        *lines,
        f"  qfx_flow #(.W({total}), .LATENCY({ports.latency})) flow (",
        "      .clk(clk), .rst(rst),",
        "      .s_tvalid(x_tvalid), .s_tready(x_tready), .result(result),",
        "      .m_tdata(codes), .m_tvalid(y_tvalid), .m_tready(y_tready)",
        "  );",
    ]


def _streaming(ports: CorePorts) -> list[str]:
    (source,), (sink,) = ports.inputs, ports.outputs
    return [
        f"  {ports.name} network (",
        "      .clk(clk), .rst(rst),",
        f"      .{source.port}_tdata({source.port}_codes), .{source.port}_tvalid(x_tvalid),",
        f"      .{source.port}_tready(x_tready),",
        f"      .{sink.port}_tdata(codes), .{sink.port}_tvalid(y_tvalid),",
        f"      .{sink.port}_tready(y_tready)",
        "  );",
    ]


def _from_slots(ports: CorePorts, bits: int) -> list[str]:
    """Each lane of the network is the low part of its slot."""
    lines, first = [], 0
    for tensor in ports.inputs:
        low = 0
        for number, (width, _, count) in enumerate(_runs(ports.lanes(tensor))):
            lines += _loop(
                f"g_{tensor.port}_{number}",
                count,
                f"{tensor.port}_codes[{low}+i*{width}+:{width}] = "
                f"x_tdata[{first * bits}+i*{bits}+:{width}];",
            )
            low += count * width
            first += count
    return lines


def _to_slots(lanes: Lanes, layout: Layout) -> list[str]:
    """Each slot is a lane, extended by its sign or zeros; slots that hold none are 0."""
    bits, lines = layout.bits, []
    low = first = 0
    for number, (width, signed, count) in enumerate(_runs(lanes)):
        fill = bits - width
        sign = f"codes[{low + width - 1}+i*{width}]" if signed else "1'b0"
        value = f"codes[{low}+i*{width}+:{width}]"
        value = f"{{{{{fill}{{{sign}}}}}, {value}}}" if fill else value
        lines += _loop(
            f"g_out_{number}", count, f"y_tdata[{first * bits}+i*{bits}+:{bits}] = {value};"
        )
        low += count * width
        first += count
    rest = layout.word_bits - first * bits
    if rest:
        lines.append(f"  assign y_tdata[{layout.word_bits - 1}:{first * bits}] = {rest}'d0;")
    return lines


def _loop(name: str, count: int, assignment: str) -> list[str]:
    return [
        f"  for (genvar i = 0; i < {count}; i++) begin : {name}",
        f"    assign {assignment}",
        "  end",
    ]


def _runs(lanes: Lanes) -> list[tuple[int, bool, int]]:
    """(width, signed, how many) of neighbouring lanes of the same kind."""
    pairs = zip(lanes.widths, lanes.signed, strict=True)
    return [(width, signed, len(list(same))) for (width, signed), same in groupby(pairs)]
