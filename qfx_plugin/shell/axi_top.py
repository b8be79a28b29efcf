"""The top module: the AXI shell and the network, in plain Verilog.

Vivado takes a module into a block design only if its top file is plain Verilog (UG994).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..driver.description import Description
from ..driver.layout import Layout
from ..units.names import printable

ADDRESS_BITS = 16
"""As many as the window of 64 KB that the block design gives it."""

_LITE = (
    ("input", "AW", "awaddr"), ("input", 1, "awvalid"), ("output", 1, "awready"),
    ("input", 32, "wdata"), ("input", 4, "wstrb"), ("input", 1, "wvalid"),
    ("output", 1, "wready"), ("output", 2, "bresp"), ("output", 1, "bvalid"),
    ("input", 1, "bready"), ("input", "AW", "araddr"), ("input", 1, "arvalid"),
    ("output", 1, "arready"), ("output", 32, "rdata"), ("output", 2, "rresp"),
    ("output", 1, "rvalid"), ("input", 1, "rready"),
)  # fmt: skip
"""AXI4-Lite, as the slave has it: direction, bits, name."""


def top_text(description: Description, core: str, input_format: int, output_format: int) -> str:
    """The module `description.top`.

    Args:
        description: of the accelerator.
        core: module of the network with its slots.
        input_format: word of the register INPUT_FORMAT.
        output_format: word of the register OUTPUT_FORMAT.
    """
    x, y, bus = description.input_layout, description.output_layout, description.input_layout
    words = [description.network_id[at : at + 8] for at in range(0, 32, 8)]
    # A register shows its lowest byte first, as the digits of the id do.
    number = "".join(bytes.fromhex(word)[::-1].hex() for word in reversed(words))
    parameters = {
        "BUS": str(bus.bus_bits),
        "AW": str(ADDRESS_BITS),
        **_sizes("X", x),
        **_sizes("Y", y),
        "NETWORK_ID": f"128'h{number}",
        "INPUT_FORMAT": f"32'h{input_format:08x}",
        "OUTPUT_FORMAT": f"32'h{output_format:08x}",
        "CLOCK_KHZ": f"32'd{round(1000 * description.clock_mhz)}",
    }
    ports = [(way, ADDRESS_BITS if bits == "AW" else bits, f"s_axi_{name}")
             for way, bits, name in _LITE]  # fmt: skip
    ports += _stream("s_axis", bus.bus_bits, sends=False)
    ports += _stream("m_axis", bus.bus_bits, sends=True)
    inside = {
        "core_rst": 1, "x_tdata": x.word_bits, "x_tvalid": 1, "x_tready": 1,
        "y_tdata": y.word_bits, "y_tvalid": 1, "y_tready": 1,
    }  # fmt: skip
    names = ["aclk", "aresetn", *(name for _, _, name in ports), *inside]
    clock = (
        '(* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 aclk CLK", '
        'X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axi:s_axis:m_axis, '
        'ASSOCIATED_RESET aresetn" *)'
    )
    reset = (
        '(* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 aresetn RST", '
        'X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)'
    )
    lines = [
        f"// {printable(description.network)}: AXI-Stream in and out, registers on AXI4-Lite. "
        "Written by QFX.",
        f"module {description.top} (",
        f"    {clock}",
        "    input wire aclk,",
        f"    {reset}",
        "    input wire aresetn,",
        ",\n".join(f"    {way} wire {_range(bits)}{name}" for way, bits, name in ports),
        ");",
        *(f"  wire {_range(bits)}{name};" for name, bits in inside.items()),
        "",
        "  qfx_shell #(",
        ",\n".join(f"      .{name}({value})" for name, value in parameters.items()),
        "  ) shell (",
        ",\n".join(f"      .{name}({name})" for name in names),
        "  );",
        "",
        f"  {core} core (",
        "      .clk(aclk), .rst(core_rst),",
        "      .x_tdata(x_tdata), .x_tvalid(x_tvalid), .x_tready(x_tready),",
        "      .y_tdata(y_tdata), .y_tvalid(y_tvalid), .y_tready(y_tready)",
        "  );",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _sizes(side: str, layout: Layout) -> dict[str, str]:
    return {
        f"{side}_BITS": str(layout.word_bits),
        f"{side}_WORDS": str(layout.positions),
        f"{side}_FIT": str(layout.fit),
        f"{side}_BEATS": str(layout.beats),
    }


def _stream(name: str, bits: int, *, sends: bool) -> Sequence[tuple[str, int, str]]:
    out, back = ("output", "input") if sends else ("input", "output")
    keep = [(out, bits // 8, f"{name}_tkeep")] if sends else []
    return [
        (out, bits, f"{name}_tdata"),
        *keep,
        (out, 1, f"{name}_tvalid"),
        (back, 1, f"{name}_tready"),
        (out, 1, f"{name}_tlast"),
    ]


def _range(bits: int | str) -> str:
    return "" if bits == 1 else f"[{int(bits) - 1}:0] "
