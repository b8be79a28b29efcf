"""The top of a design for a board without a processor: oscillator, PLL, reset, a link, a network.

The link is what speaks to the host: a module with ports clk, rst, rx and tx that holds the network.
`scan.scan_link` is the smallest one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..boards import OpenBoard
from .pll import black_box, nearest, pll_text

TOP = "qfx_board"
AWAKE = 15
"""Rising edges of the clock that reset lasts for."""
NETWORK = "net"
"""Name of the network's instance within a link's module."""
LINK = "link"
"""Name of the link's instance within the top."""


@dataclass(frozen=True)
class BoardLink:
    """What is between the serial port and the network.

    Attributes:
        module: its name; ports clk, rx, tx.
        files: text of its sources, by name, without the network's.
        reset: its port that resets, active high.
        has_light: whether it has a port led, 1 for light.
    """

    module: str
    files: Mapping[str, str]
    reset: str = "rst"
    has_light: bool = False


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


def open_top(link: BoardLink, board: OpenBoard, clock_mhz: float) -> OpenTop:
    """The design for a board around a link.

    Args:
        link: with the network in it.
        board: pins, oscillator and PLL.
        clock_mhz: asked for; the nearest that the PLL makes is taken.

    Raises:
        OptionError: the PLL makes nothing near.
    """
    pll = nearest(board, clock_mhz)
    pins = {"clk": board.clock.pin, "rx": board.pins.receive, "tx": board.pins.transmit}
    files = dict(link.files)
    if pll is None:
        clock = "  wire net_clk = clk, locked = 1'b1;\n"
    else:
        clock = f"  wire net_clk, locked;\n{pll_text(pll, board.device)}"
        files["qfx_pll.v"] = black_box(pll, board.device)
    light = ""
    if board.pins.led:
        pins["led"] = board.pins.led
        light = f"  assign led = {'~' if board.pins.led_active_low else ''}light;\n"
    ports = [f"{'output' if port in ('tx', 'led') else 'input'} {port}" for port in pins]
    files[f"{TOP}.v"] = (
        f"// {board.title}. Written by QFX.\n"
        f"module {TOP} ({', '.join(ports)});\n{clock}"
        "  reg [3:0] awake = 4'd0;\n"
        "  wire rst = ~&awake;\n"
        f"  wire light{'' if link.has_light else ' = ~rst'};\n"
        "  always @(posedge net_clk) awake <= locked ? awake + {3'd0, rst} : 4'd0;\n"
        f"{light}  {link.module} {LINK} (.clk(net_clk), "
        f".{link.reset}(rst), .rx(rx), .tx(tx){', .led(light)' if link.has_light else ''});\n"
        "endmodule\n"
    )
    return OpenTop(files, pins, "clk", board.clock.reference_mhz if pll is None else pll.mhz)
