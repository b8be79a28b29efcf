"""SystemVerilog around a network: equal slots on the outside, the network's own lanes inside.

Streams of several tensors travel in turn: all positions of a sample's first tensor, then those of
the next one. A buffer of a sample in front of each but the last, and behind each but the first,
lets the network take and give them in whatever order it needs.
"""

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

    @property
    def in_turn(self) -> bool:
        """Whether several streams share a bus."""
        return self.streaming and len(self.inputs) + len(self.outputs) > 2

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
    body = []
    for tensor in ports.inputs:
        body.append(f"  logic [{ports.lanes(tensor).bits - 1}:0] {tensor.port}_codes;")
    body += _from_slots(ports, x.bits)
    if ports.in_turn:
        body += _in_turn(ports, y)
    else:
        codes = ports.all_lanes(ports.outputs).bits
        body.append(f"  logic [{codes - 1}:0] codes;")
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


def _in_turn(ports: CorePorts, y: Layout) -> list[str]:
    """The network with a buffer at each stream, and counters that say whose turn it is."""
    lines, connections = [], ["      .clk(clk), .rst(rst)"]
    ends = [sum(t.beats for t in ports.inputs), sum(t.beats for t in ports.outputs)]
    for name, end, moves in zip(("taken", "given"), ends, ("x", "y"), strict=True):
        bits = max(1, (end - 1).bit_length())
        lines += [
            f"  logic [{bits - 1}:0] {name};",
            "  always_ff @(posedge clk)",
            f"    if (rst) {name} <= '0;",
            f"    else if ({moves}_tvalid && {moves}_tready)",
            f"      {name} <= {name} == {bits}'d{end - 1} ? '0 : {name} + 1'b1;",
        ]
    begin, rooms = 0, []
    for tensor in ports.inputs:
        p, bits, last = tensor.port, ports.lanes(tensor).bits, tensor is ports.inputs[-1]
        lines += [
            f"  logic {p}_turn, {p}_room, {p}_tvalid, {p}_tready;",
            f"  logic [{bits - 1}:0] {p}_tdata;",
            f"  assign {p}_turn = {_within('taken', begin, begin + tensor.beats, ends[0])};",
            *_fifo(tensor, bits, 2 if last else tensor.beats, "in"),
        ]
        rooms.append(f"({p}_turn && {p}_room)")
        begin += tensor.beats
    lines.append(f"  assign x_tready = {' || '.join(rooms)};")
    begin, valid, data = 0, [], []
    for tensor in ports.outputs:
        p, bits, first = tensor.port, ports.lanes(tensor).bits, tensor is ports.outputs[0]
        lines += [
            f"  logic {p}_turn, {p}_there, {p}_tvalid, {p}_tready;",
            f"  logic [{bits - 1}:0] {p}_tdata, {p}_codes;",
            f"  logic [{y.word_bits - 1}:0] {p}_slots;",
            f"  assign {p}_turn = {_within('given', begin, begin + tensor.beats, ends[1])};",
            *_fifo(tensor, bits, 2 if first else tensor.beats, "out"),
            *_to_slots(ports.lanes(tensor), y, f"{p}_codes", f"{p}_slots"),
        ]
        valid.append(f"({p}_turn && {p}_there)")
        data.append(f"({{{y.word_bits}{{{p}_turn}}}} & {p}_slots)")
        begin += tensor.beats
    lines.append(f"  assign y_tvalid = {' || '.join(valid)};")
    lines.append(f"  assign y_tdata = {' | '.join(data)};")
    connections += [
        f"      .{t.port}_t{part}({t.port}_t{part})"
        for t in (*ports.inputs, *ports.outputs)
        for part in ("data", "valid", "ready")
    ]
    return [*lines, f"  {ports.name} network (", ",\n".join(connections), "  );"]


def _within(name: str, begin: int, end: int, all_of: int) -> str:
    """Whether a counter from 0 to `all_of` - 1 is there."""
    bits = max(1, (all_of - 1).bit_length())
    parts = [f"{name} >= {bits}'d{begin}"] if begin else []
    parts += [f"{name} < {bits}'d{end}"] if end < all_of else []
    return " && ".join(parts) or "1'b1"


def _fifo(tensor: PortTensor, bits: int, depth: int, way: str) -> list[str]:
    """Between the bus and a stream of the network."""
    p = tensor.port
    outside = {
        "in": (f"{p}_codes", f"x_tvalid && {p}_turn", f"{p}_room",
               f"{p}_tdata", f"{p}_tvalid", f"{p}_tready"),
        "out": (f"{p}_tdata", f"{p}_tvalid", f"{p}_tready",
                f"{p}_codes", f"{p}_there", f"{p}_turn && y_tready"),
    }[way]  # fmt: skip
    names = ("s_tdata", "s_tvalid", "s_tready", "m_tdata", "m_tvalid", "m_tready")
    pins = ", ".join(f".{pin}({wire})" for pin, wire in zip(names, outside, strict=True))
    return [
        f"  qfx_fifo #(.W({bits}), .DEPTH({max(2, depth)})) {p}_buffer (",
        f"      .clk(clk), .rst(rst), {pins});",
    ]


def _from_slots(ports: CorePorts, bits: int) -> list[str]:
    """Each lane of the network is the low part of its slot."""
    lines, first = [], 0
    for tensor in ports.inputs:
        low = 0
        first = 0 if ports.in_turn else first
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


def _to_slots(
    lanes: Lanes, layout: Layout, codes: str = "codes", slots: str = "y_tdata"
) -> list[str]:
    """Each slot is a lane, extended by its sign or zeros; slots that hold none are 0."""
    bits, lines = layout.bits, []
    low = first = 0
    for number, (width, signed, count) in enumerate(_runs(lanes)):
        fill = bits - width
        sign = f"{codes}[{low + width - 1}+i*{width}]" if signed else "1'b0"
        value = f"{codes}[{low}+i*{width}+:{width}]"
        value = f"{{{{{fill}{{{sign}}}}}, {value}}}" if fill else value
        lines += _loop(
            f"g_{slots}_{number}", count, f"{slots}[{first * bits}+i*{bits}+:{bits}] = {value};"
        )
        low += count * width
        first += count
    rest = layout.word_bits - first * bits
    if rest:
        lines.append(f"  assign {slots}[{layout.word_bits - 1}:{first * bits}] = {rest}'d0;")
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
