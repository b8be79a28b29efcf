"""The top of a design for a board without a processor: oscillator, PLL, reset, a link, a network.

The link is what speaks to the host: a module with ports clk, rst, rx and tx that holds the network.
`scan_link` is the smallest one, a chain of flip-flops: it carries no protocol, and shows what the
network itself reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..boards import OpenBoard
from .core import CorePorts
from .pll import black_box, nearest, pll_text

TOP = "qfx_board"
NETWORK = "net"
"""Name of the network's instance within a link's module."""
LINK = "link"
"""Name of the link's instance within the top."""


@dataclass(frozen=True)
class Link:
    """What is between the serial port and the network.

    Attributes:
        module: its name; ports clk, rst (active high), rx, tx.
        files: text of its sources, by name, without the network's.
    """

    module: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class OpenTop:
    """A whole design but the network.

    Attributes:
        files: text of its sources, by name.
        pins: site by port of the module `TOP`.
        oscillator: the port that the oscillator drives.
        clock_mhz: clock of the network, as oscillator and PLL make it.
    """

    files: Mapping[str, str]
    pins: Mapping[str, str]
    oscillator: str
    clock_mhz: float


def open_top(link: Link, board: OpenBoard, clock_mhz: float) -> OpenTop:
    """The design for a board around a link.

    Args:
        link: with the network in it.
        board: pins, oscillator and PLL.
        clock_mhz: asked for; the nearest that the PLL makes is taken.

    Raises:
        OptionError: the PLL makes nothing near.
    """
    pll = nearest(board, clock_mhz)
    pins = {"oscillator": board.clock.pin, "rx": board.pins.receive, "tx": board.pins.transmit}
    files = dict(link.files)
    if pll is None:
        clock = "  wire net_clk = oscillator, locked = 1'b1;\n"
    else:
        clock = f"  wire net_clk, locked;\n{pll_text(pll, board.device)}"
        files["qfx_pll.v"] = black_box(pll, board.device)
    light = ""
    if board.pins.led:
        pins["led"] = board.pins.led
        light = f"  assign led = {'' if board.pins.led_active_low else '~'}rst;\n"
    ports = [f"{'output' if port in ('tx', 'led') else 'input'} {port}" for port in pins]
    files[f"{TOP}.v"] = (
        f"// {board.title}: the light is on while the clock runs. Written by QFX.\n"
        f"module {TOP} ({', '.join(ports)});\n{clock}"
        "  reg [3:0] awake = 4'd0;\n"
        "  wire rst = ~&awake;\n"
        "  always @(posedge net_clk) awake <= locked ? awake + {3'd0, rst} : 4'd0;\n"
        f"{light}  {link.module} {LINK} (.clk(net_clk), .rst(rst), .rx(rx), .tx(tx));\n"
        "endmodule\n"
    )
    return OpenTop(files, pins, "oscillator", board.clock.reference_mhz if pll is None else pll.mhz)


def scan_link(ports: CorePorts) -> Link:
    """A link that shifts codes in by rx and out by tx, a bit in every cycle.

    When as many bits have come as the inputs have in a beat, all inputs get one; what the outputs
    gave last goes out meanwhile.

    Args:
        ports: of the network.
    """
    come, go = (ports.all_lanes(side).bits for side in (ports.inputs, ports.outputs))
    count = max((max(come, go) - 1).bit_length(), 1)
    body = [
        f"  reg [{come}:0] shift_in; reg [{come - 1}:0] x;",
        f"  reg [{go}:0] shift_out; reg [{go - 1}:0] y; wire [{go - 1}:0] result;",
        f"  reg [{count - 1}:0] in_bit, out_bit;",
        f"  wire beat = in_bit == {count}'d{come - 1};",
        "  always @(posedge clk) begin",
        f"    shift_in <= {{shift_in[{come - 1}:0], rx}};",
        "    in_bit <= rst | beat ? 0 : in_bit + 1'b1;",
        f"    if (beat) x <= shift_in[{come - 1}:0];",
        f"    out_bit <= rst | out_bit == {count}'d{go - 1} ? 0 : out_bit + 1'b1;",
        f"    shift_out <= out_bit == 0 ? {{y, 1'b0}} : {{shift_out[{go - 1}:0], 1'b0}};",
        "  end",
        f"  assign tx = shift_out[{go}];",
    ]
    connections = ["    .clk(clk)"]
    if ports.streaming:
        connections.append("    .rst(rst)")
    for side, tensors in (("x", ports.inputs), ("result", ports.outputs)):
        offset = 0
        for tensor in tensors:
            bits = ports.lanes(tensor).bits
            part = f"[{offset + bits - 1}:{offset}]"
            lines, pins = _stream(tensor.port, side, part) if ports.streaming else ([], [])
            if not ports.streaming:
                pins = [f"    .{tensor.port}({side}{part})"]
            body += lines
            connections += pins
            offset += bits
    if not ports.streaming:
        body.append("  always @(posedge clk) y <= result;")
    text = (
        f"// {ports.name} between two chains of flip-flops. Written by QFX.\n"
        "module qfx_scan (input clk, input rst, input rx, output tx);\n"
        + "\n".join(body)
        + f"\n  {ports.name} {NETWORK} (\n"
        + ",\n".join(connections)
        + "\n  );\nendmodule\n"
    )
    return Link("qfx_scan", {"qfx_scan.v": text})


def _stream(port: str, side: str, part: str) -> tuple[list[str], list[str]]:
    """Lines, and connections, of one stream."""
    if side == "x":
        lines = [
            f"  reg {port}_valid; wire {port}_ready;",
            "  always @(posedge clk)",
            f"    if (rst) {port}_valid <= 1'b0; else if (beat) {port}_valid <= 1'b1;",
            f"    else if ({port}_ready) {port}_valid <= 1'b0;",
        ]
        wires = {"tdata": f"x{part}", "tvalid": f"{port}_valid", "tready": f"{port}_ready"}
    else:
        lines = [
            f"  wire {port}_valid;",
            f"  always @(posedge clk) if ({port}_valid) y{part} <= result{part};",
        ]
        wires = {"tdata": f"result{part}", "tvalid": f"{port}_valid", "tready": "1'b1"}
    return lines, [f"    .{port}_{wire}({name})" for wire, name in wires.items()]
