"""The unit between two folded layers: ReLU and a cast, as parameters of `sv/qfx_requant.sv`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode, forgotten

from ..errors import TargetError
from ..ir import FixedType, Quantize
from .digits import Codes, signed_bits
from .mvu import mvu_sources
from .names import verilog_name

ROUNDINGS = (
    RoundingMode.AP_TRN,
    RoundingMode.AP_TRN_ZERO,
    RoundingMode.AP_RND,
    RoundingMode.AP_RND_ZERO,
    RoundingMode.AP_RND_INF,
    RoundingMode.AP_RND_MIN_INF,
    RoundingMode.AP_RND_CONV,
)
"""By the value of the parameter ROUNDING."""

OVERFLOWS = (
    OverflowMode.AP_WRAP,
    OverflowMode.AP_SAT,
    OverflowMode.AP_SAT_SYM,
    OverflowMode.AP_SAT_ZERO,
    OverflowMode.AP_WRAP_SM,
)
"""By the value of the parameter OVERFLOW."""


def rounding_number(mode: RoundingMode) -> int:
    """The value of the parameter ROUNDING."""
    return ROUNDINGS.index(mode) if mode in ROUNDINGS else forgotten(mode)


def overflow_number(mode: OverflowMode) -> int:
    """The value of the parameter OVERFLOW."""
    return OVERFLOWS.index(mode) if mode in OVERFLOWS else forgotten(mode)


@dataclass(frozen=True, eq=False)
class Requant:
    """A cast of a stream of channels.

    Attributes:
        name: of the Verilog module.
        cast: the operation.
        input_bits: bits of an element that comes in, two's complement.
        shifts: (1,) or (channels,) bits by which the binary point moves right.
        channels: length of a vector.
        pe: elements at once.
        relu: negative elements count as 0.
    """

    name: str
    cast: Quantize
    input_bits: int
    shifts: Codes
    channels: int
    pe: int
    relu: bool = False

    def write(self, folder: Path) -> list[Path]:
        """Write the module into `folder`; returns it and the files of its submodules."""
        low = int(self.shifts.min())
        extras = np.broadcast_to(self.shifts - low, (self.channels,))
        parameters = {
            "PE": self.pe,
            "NF": self.channels // self.pe,
            "IW": self.input_bits,
            "OW": self.cast.width,
            "OSIGNED": f"1'b{int(self.cast.signed)}",
            "SHIFT": low,
            "EXTRA": int(extras.max()),
            "EXTRAS": f"{8 * self.channels}'h{bytes(extras.tolist())[::-1].hex()}",
            "ROUNDING": rounding_number(self.cast.rounding),
            "OVERFLOW": overflow_number(self.cast.overflow),
            "RELU": f"1'b{int(self.relu)}",
        }
        text = _WRAPPER.format(
            label=self.cast.label.encode("ascii", "replace").decode(),
            name=self.name,
            in_top=self.pe * self.input_bits - 1,
            out_top=self.pe * self.cast.width - 1,
            values=",\n".join(f"      .{key}({value})" for key, value in parameters.items()),
        )
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / f"{self.name}.sv"
        source.write_text(text, encoding="ascii")
        return [*mvu_sources(), source]


def requant(
    cast: Quantize,
    operand: FixedType,
    pe: int = 1,
    *,
    name: str = "requant",
    relu: bool = False,
    input_bits: int | None = None,
) -> Requant:
    """A unit for `cast`, with a ReLU before it if wanted.

    Args:
        cast: to be done.
        operand: type of the cast's input, or of the ReLU's.
        pe: elements at once; divides the channels.
        name: of the Verilog module, made a legal one if need be.
        relu: negative elements count as 0.
        input_bits: bits of an element of the stream; the narrowest by default.

    Raises:
        TargetError: `pe` does not divide the channels, or a channel's binary point moves by more
            than 255 bits relative to another's.
    """
    channels = operand.shape[0]
    if pe < 1 or channels % pe:
        raise TargetError(f"{cast.label}: pe must divide its {channels} channels, not be {pe}")
    shifts = np.atleast_1d(operand.frac_bits - cast.points)
    if shifts.max() - shifts.min() > 255:
        raise TargetError(
            f"{cast.label}: binary points must move by amounts at most 255 apart, not "
            f"{int(shifts.min())} to {int(shifts.max())}"
        )
    bits = signed_bits(int(operand.low.min()), int(operand.high.max()))
    taken = [path.stem for path in mvu_sources()]
    return Requant(
        verilog_name(name, taken, "unit"), cast, input_bits or bits, shifts, channels, pe, relu
    )


_WRAPPER = """\
// {label}. Written by QFX.
module {name} (
    input  logic        clk,
    input  logic        rst,
    input  logic [{in_top}:0] s_axis_tdata,
    input  logic        s_axis_tvalid,
    output logic        s_axis_tready,
    output logic [{out_top}:0] m_axis_tdata,
    output logic        m_axis_tvalid,
    input  logic        m_axis_tready
);
  qfx_requant #(
{values}
  ) unit (
      .clk, .rst, .s_axis_tdata, .s_axis_tvalid, .s_axis_tready,
      .m_axis_tdata, .m_axis_tvalid, .m_axis_tready
  );
endmodule
"""
