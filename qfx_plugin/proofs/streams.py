"""Stream modules keep the rules of AXI-Stream, in every cycle after the reset.

No word is lost, doubled or changed, none overtakes another, data wait until they are taken, and
nothing stands still: see `sv/qfx_stream_check.sv`. Control does not look at data, so that words of
two bits stand for all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..units.sources import sources_of
from .solver import Statement, Verdict, decide

CHECKER = Path(__file__).parent / "sv" / "qfx_stream_check.sv"
TOP = "qfx_proof"


@dataclass(frozen=True)
class StreamModule:
    """A module with one stream in and one or more out.

    Attributes:
        name: of the module.
        capacity: words inside, at most.
        taken: words of a beat that goes in.
        given: words of a beat that comes out.
        patience: cycles in which nothing may move though it could.
        parameters: of the module.
        copies: streams that come out; they have ports of their own names.
    """

    name: str
    capacity: int
    taken: int = 1
    given: int = 1
    patience: int = 1
    parameters: dict[str, int] = field(default_factory=dict)
    copies: int = 1


STREAMS = {
    one.name: one
    for one in (
        StreamModule("qfx_fifo", 3, parameters={"W": 2, "DEPTH": 3}),
        StreamModule("qfx_flow", 4, patience=4, parameters={"W": 2, "LATENCY": 2}),
        StreamModule("qfx_pack", 3, given=3, parameters={"W": 2, "N": 3}),
        StreamModule("qfx_unpack", 3, taken=3, patience=3, parameters={"W": 2, "N": 3}),
        StreamModule("qfx_stream_duplicate", 1, parameters={"BITS": 2}, copies=2),
    )
}
"""Those that are proven, small: their control is the same in every size."""


def prove_stream(module: StreamModule, *, limit_s: float = 60) -> Verdict:
    """Prove that a module keeps the rules, for every number of cycles.

    Args:
        module: one of `STREAMS`, or with other parameters.
        limit_s: seconds.

    Raises:
        ToolMissingError: Yosys is not installed.
    """
    return decide(stream_statement(module), limit_s=limit_s)


def stream_statement(module: StreamModule) -> Statement:
    """See `prove_stream`."""
    values = ", ".join(f".{name}({value})" for name, value in module.parameters.items())
    checks = [
        f"  qfx_stream_check #(.W(2), .TAKEN({module.taken}), .GIVEN({module.given}), "
        f".CAPACITY({module.capacity}), .PATIENCE({module.patience})) check_{copy} (\n"
        "      .clk, .rst, .mark, .which(WIDTH'(which)), .s_tdata, .s_tvalid, .s_tready,\n"
        f"      .m_tdata(m_tdata[{copy}]), .m_tvalid(m_tvalid[{copy}]), "
        f".m_tready(m_tready[{copy}]), .others_ready(&m_tready), .wrong(wrongs[{copy}]));"
        for copy in range(module.copies)
    ]
    text = _TOP.format(
        copies=module.copies - 1,
        s=2 * module.taken - 1,
        m=2 * module.given - 1,
        width=(module.capacity + module.taken).bit_length() + 1,
        pins=_PINS.get(module.name, _USUAL_PINS),
        before=_BEFORE.get(module.name, ""),
        module=module.name,
        values=values,
        checks="\n".join(checks),
    )
    paths = [*sources_of(module.name), CHECKER]
    sources = {path.name: path.read_text("utf-8") for path in paths}
    return Statement(module.name, TOP, {**sources, f"{TOP}.sv": text}, always=True)


_TOP = """\
module qfx_proof (
    input logic clk, input logic mark, input logic [7:0] which,
    input logic [{s}:0] s_tdata, input logic s_tvalid, input logic [{copies}:0] m_tready,
    output logic wrong
);
  localparam int WIDTH = {width};
  logic rst = 1'b1;  // in the first cycle
  always_ff @(posedge clk) rst <= 1'b0;
  logic s_tready;
  logic [{copies}:0] m_tvalid, wrongs;
  logic [{copies}:0][{m}:0] m_tdata;
{before}  {module} #({values}) module_ ({pins});
{checks}
  assign wrong = |wrongs;
endmodule
"""

_USUAL_PINS = ".clk, .rst, .s_tdata, .s_tvalid, .s_tready, .m_tdata, .m_tvalid, .m_tready"
_PINS = {
    "qfx_flow": ".clk, .rst, .s_tvalid, .s_tready, .result, .m_tdata, .m_tvalid, .m_tready",
    "qfx_stream_duplicate": (
        ".clk, .rst_n(!rst), .in_data(s_tdata), .in_valid(s_tvalid), .in_ready(s_tready), "
        ".out_data(m_tdata), .out_valid(m_tvalid), .out_ready(m_tready)"
    ),
}
_BEFORE = {
    # A pipeline of two registers that never stands still.
    "qfx_flow": (
        "  logic [1:0] half, result;\n"
        "  always_ff @(posedge clk) {result, half} <= {half, s_tdata};\n"
    ),
}
