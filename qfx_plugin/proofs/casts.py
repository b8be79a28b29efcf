"""Casts, one at a time: as an adder graph, and as the unit that multiplies, adds and casts."""

from __future__ import annotations

import numpy as np

from brevitas_quantizers.fixed_point import FixedPointCast, FixedPointFormat

from ..ir import FixedType, Quantize
from ..units.requant import RequantUnit
from ..units.sources import sources_of, stream_wrapper
from .circuit import Circuit, Number, constant
from .claim import node, settle
from .equality import TOP
from .result import Proof
from .solver import Statement, decide

RESET, LATENCY = 1, 2
"""Cycles before the first word goes in, and until it comes out."""


def prove_cast(source: FixedPointFormat, cast: FixedPointCast, *, limit_s: float = 60) -> Proof:
    """That the adder graph of a cast equals its definition for every code.

    Args:
        source: format of what is cast.
        cast: format and modes of the result.
        limit_s: seconds.

    Raises:
        ToolMissingError: alkaid or Yosys is not installed.
    """
    fmt = cast.format
    low, high = (np.array([end], dtype=object) for end in (source.min_code, source.max_code))
    operand = FixedType((1,), np.array([source.frac_bits]), low, high)
    op = Quantize(
        str(cast), ("x",), "y", fmt.width, fmt.frac_bits, fmt.signed, cast.rounding, cast.overflow
    )
    types = {"x": operand, "y": op.result(operand)}
    return settle(node([op], types), types, limit_s)


def prove_unit(unit: RequantUnit, *, limit_s: float = 60) -> Proof:
    """That a unit of `qfx_plugin.units.requant` equals its definition for all inputs.

    From the reset on, each block of channels gets a word, and gives the right one two cycles later.

    Args:
        unit: with or without a multiply-add.
        limit_s: seconds.

    Raises:
        ToolMissingError: Yosys is not installed.
    """
    verdict = decide(unit_statement(unit), limit_s=limit_s)
    words = {port: list(steps) for port, steps in verdict.example.items()}
    reason = f"for the words {words}" if words else verdict.reason
    return Proof(unit.label, verdict.status, verdict.seconds, 0, reason)


def unit_statement(unit: RequantUnit) -> Statement:
    """See `prove_unit`; registers are taken out where all channels come at once."""
    blocks, result = unit.channels // unit.pe, int(unit.parameters["RW"])
    circuit = Circuit()
    wrong = []
    for lane in range(unit.pe):
        x = circuit.lane("x", lane * unit.input_bits, unit.input_bits, unit.input_signed)
        turns = [_channel(circuit, unit, x, turn * unit.pe + lane) for turn in range(blocks)]
        want = turns[0]
        for turn, other in enumerate(turns[1:], start=1):
            want = circuit.choose(f"(turn == {turn})", other, want)
        word = circuit.low_bits(circuit.later(want, LATENCY), result)
        wrong.append(f"({word} != y[{lane * result}+:{result}])")
    made = stream_wrapper(
        "qfx_requant", unit.parameters, name="made", about=unit.label,
        input_bits=unit.pe * unit.input_bits, output_bits=unit.pe * result,
    )  # fmt: skip
    text = _TOP.format(
        top=TOP,
        x=unit.pe * unit.input_bits - 1,
        y=unit.pe * result - 1,
        blocks=blocks,
        reset="input wire rst, " if blocks > 1 else "",
        rst="rst" if blocks > 1 else "1'b0",
        lines="\n  ".join(circuit.lines),
        wrong=" || ".join(wrong),
    )
    sources = {path.name: path.read_text("utf-8") for path in sources_of("qfx_requant")}
    sources |= {"made.sv": made, f"{TOP}.sv": text}
    if blocks == 1:
        return Statement(unit.label, TOP, sources, latency=LATENCY)
    first = RESET + LATENCY + 1
    return Statement(
        unit.label, TOP, sources, steps=first + blocks - 1, from_step=first, reset="rst"
    )


_TOP = """\
module {top} (input wire clk, {reset}input wire [{x}:0] x, output wire wrong);
  wire [{y}:0] y;
  made unit (.clk(clk), .rst({rst}), .s_axis_tdata(x), .s_axis_tvalid(1'b1), .s_axis_tready(),
             .m_axis_tdata(y), .m_axis_tvalid(), .m_axis_tready(1'b1));
  reg [15:0] turn;
  always @(posedge clk) turn <= ({rst} || turn == {blocks} - 1) ? 16'd0 : turn + 16'd1;
  {lines}
  assign wrong = {wrong};
endmodule
"""


def _channel(circuit: Circuit, unit: RequantUnit, x: Number, channel: int) -> Number:
    """What a channel's element becomes: scaled, moved, cast, limited, and its lowest bits."""
    if unit.relu:
        x = circuit.larger(x, constant(0))
    scaling = unit.scaling
    if scaling is not None:
        product = circuit.multiply(x, constant(scaling.factors[channel]))
        x = circuit.add(product, constant(scaling.offsets[channel]))
    shift = int(unit.shifts[channel if unit.shifts.size > 1 else 0])
    moved = Number(x.text, x.low, x.high, shift)
    fmt = FixedPointFormat(unit.width, unit.width, unit.signed)
    y = circuit.cast(moved, fmt, unit.rounding, unit.overflow)
    if scaling is not None and unit.overflow.saturates:
        y = circuit.larger(y, constant(scaling.lows[channel]))
        y = circuit.lesser(y, constant(scaling.highs[channel]))
    return y
