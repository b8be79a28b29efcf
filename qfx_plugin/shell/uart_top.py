"""`uart_top`: an accelerator for a board without a processor, with a UART to the host.

    top = uart_top(wrap(network, bus_bits=32), clock_mhz=25, baud=115_200)
    top.write(folder)          # beside the sources of the network

The accelerator keeps its registers and streams; a module at the UART is their master (see
`sv/uart/qfx_uart_link.sv`). On the host, `SerialBoard` stands for them.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import OptionError
from ..units.names import printable
from ..units.sources import sources_of
from .wrap import Shell

SV = Path(__file__).parent / "sv" / "uart"

LEAST_CLOCKS = 4
"""Of a bit: it is looked at in its middle."""

MOST_ERROR = 0.02
"""Of the baud rate: ten bits are read by the edge of the first."""

GAP_S = 0.05
"""Pause within a frame after which the rest is not waited for; USB adapters pause for 16 ms."""

RESETS = {"": "1'b0", "high": "reset", "low": "!reset"}


def uart_top(
    shell: Shell,
    *,
    clock_mhz: float,
    baud: int = 115_200,
    reset: str = "",
    gap_s: float = GAP_S,
) -> Shell:
    """Put a UART at an accelerator's registers and streams.

    The top module, `<network>_uart`, has the pins `clk`, `rx`, `tx` and `led` (on while a byte is
    on the line), and `reset` if wanted; it comes out of its configuration reset.

    Args:
        shell: what `wrap` returned; `bus_bits=32` has the least logic.
        clock_mhz: of the pin `clk`.
        baud: of the UART.
        reset: level of a pin `reset` that resets: "high", "low", or "" for none.
        gap_s: pause within a frame after which it counts as broken off.

    Returns:
        The sources around the network's, with the top module's name.

    Raises:
        OptionError: a clock that has no such baud rate, or another level.
    """
    clocks = round(clock_mhz * 1e6 / baud) if baud > 0 else 0
    if clocks < LEAST_CLOCKS:
        raise OptionError(
            f"baud must be at most {int(clock_mhz * 1e6 / LEAST_CLOCKS):,} with a clock of "
            f"{clock_mhz:g} MHz, not {baud:,}"
        )
    error = abs(clock_mhz * 1e6 / clocks / baud - 1)
    if error > MOST_ERROR:
        raise OptionError(
            f"baud {baud:,} is {100 * error:.1f} % off what a clock of {clock_mhz:g} MHz can "
            f"give; at most {100 * MOST_ERROR:g} % work: choose a slower one"
        )
    if reset not in RESETS:
        raise OptionError(f"reset must be 'high', 'low' or '', not {reset!r}")
    top = f"{shell.top.removesuffix('_axi')}_uart"
    sources = {path.name: path.read_text("utf-8") for path in sorted(SV.glob("*.sv"))}
    sources |= {path.name: path.read_text("utf-8") for path in sources_of("qfx_fifo")}
    sources[f"{top}.sv"] = _TOP.format(
        network=printable(shell.description.network),
        top=top,
        pin="    input  logic reset,\n" if reset else "",
        reset=RESETS[reset],
        clocks=clocks,
        gap=max(20 * clocks, round(gap_s * clock_mhz * 1e6)),
        bus=shell.description.input_layout.bus_bits,
        shell=shell.top,
    )
    return Shell(top, {**sources, **shell.files}, shell.description)


_TOP = """\
// {network} with a UART to the host: its registers and streams. Written by QFX.
module {top} (
    input  logic clk,
{pin}    input  logic rx,
    output logic tx,
    output logic led
);
  localparam int BUS = {bus};

  // verilator lint_off PROCASSINIT
  logic [3:0] up = '0;  // clocks since the configuration, or the reset
  always_ff @(posedge clk) up <= ({reset}) ? '0 : {{up[2:0], 1'b1}};
  // verilator lint_on PROCASSINIT
  logic rst;
  assign rst = !up[3];
  assign led = !(rx && tx);

  logic [7:0] rx_data, tx_data;
  logic rx_valid, tx_valid, tx_ready, clear, flush;
  qfx_uart_rx #(.CLOCKS({clocks})) receiver (.clk, .rst, .rx, .data(rx_data), .valid(rx_valid));
  qfx_uart_tx #(.CLOCKS({clocks})) sender (
      .clk, .rst, .data(tx_data), .valid(tx_valid), .ready(tx_ready), .tx
  );

  logic [15:0] awaddr, araddr;
  logic [31:0] wdata, rdata;
  logic awvalid, awready, wvalid, wready, bvalid, bready, arvalid, arready, rvalid, rready;
  logic [BUS-1:0] to_tdata, s_tdata, m_tdata;
  logic to_tlast, to_tvalid, to_tready, s_tlast, s_tvalid, s_tready, m_tlast, m_tvalid, m_tready;
  qfx_uart_link #(.BUS(BUS), .GAP({gap})) link (
      .clk, .rst, .rx_data, .rx_valid, .tx_data, .tx_valid, .tx_ready,
      .axi_awaddr(awaddr), .axi_awvalid(awvalid), .axi_awready(awready),
      .axi_wdata(wdata), .axi_wvalid(wvalid), .axi_wready(wready),
      .axi_bvalid(bvalid), .axi_bready(bready),
      .axi_araddr(araddr), .axi_arvalid(arvalid), .axi_arready(arready),
      .axi_rdata(rdata), .axi_rvalid(rvalid), .axi_rready(rready),
      .to_tdata, .to_tlast, .to_tvalid, .to_tready,
      .from_tdata(m_tdata), .from_tlast(m_tlast), .from_tvalid(m_tvalid), .from_tready(m_tready),
      .clear
  );

  // What the link has taken waits here for the accelerator.
  assign flush = rst || clear;
  qfx_fifo #(.W(BUS + 1), .DEPTH(4)) taken (
      .clk, .rst(flush), .s_tdata({{to_tlast, to_tdata}}), .s_tvalid(to_tvalid),
      .s_tready(to_tready), .m_tdata({{s_tlast, s_tdata}}), .m_tvalid(s_tvalid),
      .m_tready(s_tready)
  );

  // verilator lint_off PINCONNECTEMPTY
  {shell} accelerator (
      .aclk(clk), .aresetn(!rst),
      .s_axi_awaddr(awaddr), .s_axi_awvalid(awvalid), .s_axi_awready(awready),
      .s_axi_wdata(wdata), .s_axi_wstrb(4'hf), .s_axi_wvalid(wvalid), .s_axi_wready(wready),
      .s_axi_bresp(), .s_axi_bvalid(bvalid), .s_axi_bready(bready),
      .s_axi_araddr(araddr), .s_axi_arvalid(arvalid), .s_axi_arready(arready),
      .s_axi_rdata(rdata), .s_axi_rresp(), .s_axi_rvalid(rvalid), .s_axi_rready(rready),
      .s_axis_tdata(s_tdata), .s_axis_tvalid(s_tvalid), .s_axis_tready(s_tready),
      .s_axis_tlast(s_tlast), .m_axis_tdata(m_tdata), .m_axis_tkeep(), .m_axis_tvalid(m_tvalid),
      .m_axis_tready(m_tready), .m_axis_tlast(m_tlast)
  );
  // verilator lint_on PINCONNECTEMPTY
endmodule
"""
