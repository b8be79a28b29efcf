"""The unit between two layers: a multiply-add if wanted, a cast; see `sv/cast/qfx_requant.sv`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode

from ..errors import TargetError
from ..ir import FixedType, Quantize
from ..ir.types import Codes
from .digits import signed_bits
from .modes import OVERFLOWS, ROUNDINGS, overflow_number, rounding_number
from .names import verilog_name
from .sources import packed, sources_of, stream_wrapper, unit_files

__all__ = [
    "OVERFLOWS",
    "ROUNDINGS",
    "RequantUnit",
    "Scaling",
    "overflow_number",
    "requant",
    "rounding_number",
]

MODULE = "qfx_requant"


@dataclass(frozen=True)
class Scaling:
    """What happens before the cast, channel by channel: `x * factor + offset`.

    Attributes:
        factors: (channels,) integers.
        offsets: (channels,) integers.
        sum_bits: bits that hold every sum, two's complement.
        lows: (channels,) smallest results, if the cast saturates.
        highs: (channels,) largest results, likewise.
    """

    factors: Sequence[int]
    offsets: Sequence[int]
    sum_bits: int
    lows: Sequence[int]
    highs: Sequence[int]

    @property
    def factor_bits(self) -> int:
        """Bits of the narrowest two's complement number that holds every factor."""
        return signed_bits(min(self.factors), max(self.factors))

    def parameters(self, pe: int, shift: int, saturates: bool) -> dict[str, int | str]:
        """Parameters of `qfx_requant` for `pe` lanes and a cast that drops `shift` bits."""
        columns = {
            "MULTS": (self.factors, self.factor_bits),
            "OFFSETS": (self.offsets, self.sum_bits),
        }
        result: dict[str, int | str] = {
            "AFFINE": "1'b1", "SW": self.sum_bits, "MW": self.factor_bits,
        }  # fmt: skip
        if saturates:
            bits = max(self.sum_bits - shift, 1) + 1  # of the rounded sum
            far = (1 << (bits - 1)) - 1  # beyond every sum: a limit there never binds
            for name, limits in (("LOWS", self.lows), ("HIGHS", self.highs)):
                columns[name] = [min(max(limit, -far), far) for limit in limits], bits
            result |= {"LIMITED": "1'b1", "LW": bits}
        return result | {
            name: packed(_by_lane(values, pe), bits, signed=True)
            for name, (values, bits) in columns.items()
        }


@dataclass(frozen=True, eq=False)
class RequantUnit:
    """A cast of a stream of channels.

    Attributes:
        name: of the Verilog module.
        label: how messages call the cast.
        channels: length of a vector.
        pe: elements at once.
        input_bits: bits of an element that comes in.
        shifts: (1,) or (channels,) bits by which the binary point moves right.
        width: word length of the cast.
        signed: signedness of the cast.
        rounding: of the cast.
        overflow: of the cast.
        relu: negative elements count as 0.
        input_signed: whether an element that comes in is two's complement.
        result_bits: of the cast's bits those that go out; all if None.
        scaling: a multiply-add before the cast, whose `shifts` are all equal then.
    """

    name: str
    label: str
    channels: int
    pe: int
    input_bits: int
    shifts: Codes
    width: int
    signed: bool
    rounding: RoundingMode
    overflow: OverflowMode
    relu: bool = False
    input_signed: bool = True
    result_bits: int | None = None
    scaling: Scaling | None = None

    @property
    def parameters(self) -> dict[str, int | str]:
        """Parameters of `qfx_requant`; text is Verilog source."""
        low = int(self.shifts.min())
        extras = np.broadcast_to(self.shifts - low, (self.channels,))
        limited = self.scaling is not None and self.overflow.saturates
        result = self.width if self.result_bits is None else self.result_bits
        parameters: dict[str, int | str] = {
            "PE": self.pe,
            "NF": self.channels // self.pe,
            "IW": self.input_bits,
            "ISIGNED": f"1'b{int(self.input_signed)}",
            "OW": result if limited else self.width,  # limits are within the format
            "OSIGNED": f"1'b{int(self.signed)}",
            "RW": result,
            "SHIFT": low,
            "EXTRA": int(extras.max()),
            "EXTRAS": packed(_by_lane(extras.tolist(), self.pe), 8),
            "ROUNDING": rounding_number(self.rounding),
            "OVERFLOW": overflow_number(self.overflow),
            "RELU": f"1'b{int(self.relu)}",
        }
        return parameters | (self.scaling.parameters(self.pe, low, limited) if self.scaling else {})

    def write(self, folder: Path) -> list[Path]:
        """Write the module into `folder`; returns it and the files of its submodules."""
        parameters = self.parameters
        text = stream_wrapper(
            MODULE,
            parameters,
            name=self.name,
            about=self.label,
            input_bits=self.pe * self.input_bits,
            output_bits=self.pe * int(parameters["RW"]),
        )
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / f"{self.name}.sv"
        source.write_text(text, encoding="ascii")
        return [*sources_of(MODULE), source]


def requant(
    cast: Quantize,
    operand: FixedType,
    pe: int = 1,
    *,
    name: str = "requant",
    relu: bool = False,
    input_bits: int | None = None,
) -> RequantUnit:
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
    return RequantUnit(
        name=verilog_name(name, unit_files(), "unit"),
        label=cast.label,
        channels=channels,
        pe=pe,
        input_bits=input_bits or signed_bits(int(operand.low.min()), int(operand.high.max())),
        shifts=shifts,
        width=cast.width,
        signed=cast.signed,
        rounding=cast.rounding,
        overflow=cast.overflow,
        relu=relu,
    )


def _by_lane(values: Sequence[int], pe: int) -> list[int]:
    """Values of channels in the order of the stream, lane after lane."""
    return [value for lane in range(pe) for value in values[lane::pe]]
