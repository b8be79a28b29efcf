"""What FINN's own units cost and how they fold: an adapter for each kind, found by its name.

unit = unit_of(op)         # ours as they are; FINN's behind their adapter; others are refused
unit.estimate(), unit.foldings(), unit.get_exp_cycles()
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, gcd, log2, prod
from typing import Any, TypeVar

from ...errors import TargetError
from ...units.terms import block_rams, lut_memory
from ..ops.unit import Cost, CountedUnit, Estimate, Foldings, Unit, by_lanes, divisors

SHIFT_REGISTER, LUT_RAM = 33, 257
"""Deepest FIFOs of each kind; deeper ones take block RAM, since not all devices have UltraRAM."""

LEAST_BITS = 9
"""Address bits of the smallest memory that FINN's FIFO splits no further."""

ULTRA = 16
"""Halves of block RAMs that hold as much as one UltraRAM, which not all devices have."""


class StockUnit(Unit):
    """One of FINN's operations; what is asked beside cost and folding, it answers itself."""

    def __init__(self, op: Any) -> None:
        self.op = op

    def __getattr__(self, name: str) -> Any:
        return getattr(self.op, name)


STOCK: dict[str, type[StockUnit]] = {}
"""The adapters by the operations' types."""

_Adapter = TypeVar("_Adapter", bound=type[StockUnit])


def stands_for(*kinds: str) -> Callable[[_Adapter], _Adapter]:
    """Announce an adapter for operations of these types."""

    def announce(adapter: _Adapter) -> _Adapter:
        STOCK.update(dict.fromkeys(kinds, adapter))
        return adapter

    return announce


def unit_of(op: Any) -> Any:
    """The operation as a unit that can be asked what it costs and how it folds.

    Args:
        op: operation of a hardware node.

    Returns:
        A `Unit`, which also has all that FINN's operations have.

    Raises:
        TargetError: of this type nothing is known.
    """
    if isinstance(op, Unit):
        return op
    node = op.onnx_node
    if node.op_type not in STOCK:
        raise TargetError(
            f"unit {node.name!r}: cost and folding of {node.op_type} are not known; known are "
            f"the units of QFX and {', '.join(sorted(STOCK))}: announce another by `stands_for`"
        )
    return STOCK[node.op_type](op)


@stands_for("ConvolutionInputGenerator", "ConvolutionInputGenerator_rtl")
class SlidingWindow(StockUnit, CountedUnit):
    """Rows of an image kept, windows given. A depthwise one folds as the unit that reads it."""

    @property
    def gives_windows(self) -> bool:
        """If depthwise, channel group by channel group."""
        return bool(self.get_nodeattr("depthwise"))

    def foldings(self) -> Foldings:
        """SIMD divides the channels."""
        return by_lanes("SIMD", self.get_nodeattr("IFMChannels"))

    def choose_memory(self) -> None:
        """LUTs up to 64 beats or few bits, else block RAM."""
        self.set_nodeattr("ram_style", self._best_memory())

    def cost(self) -> Cost:
        """Beats kept in LUTs, the counters of a frame's beats; simpler ones of a 1x1 window."""
        width, depth = self.get_instream_width(), self.get_buffer_depth()
        style = self.get_nodeattr("ram_style")
        small = (self._best_memory() if style == "auto" else style) == "distributed"
        folds = self.get_nodeattr("IFMChannels") // self.get_nodeattr("SIMD")
        counter = ceil(log2(prod(self.get_nodeattr("IFMDim")) * folds))
        point = prod(self.get_nodeattr("ConvKernelDim")) == 1
        terms = [
            *(bits * small for bits in lut_memory(width, depth)),
            float(counter * (not point)),
            float(not point),
            float(counter**2 * point),
        ]
        return Cost(terms, bram18=0 if small else block_rams(width, depth)[0])

    def _best_memory(self) -> str:
        depth = self.get_buffer_depth()
        return (
            "distributed" if depth <= 64 or depth * self.get_instream_width() <= 2048 else "block"
        )


@stands_for("FMPadding", "FMPadding_rtl")
class Padding(StockUnit, CountedUnit):
    """Zeros round an image."""

    def foldings(self) -> Foldings:
        """SIMD divides the channels."""
        return by_lanes("SIMD", self.get_nodeattr("NumChannels"))

    def cost(self) -> Cost:
        """The beat, the counters."""
        size = max(self.get_nodeattr("ImgDim"))
        return Cost([float(self.get_instream_width()), log2(size), 1.0])


class Between(StockUnit, CountedUnit):
    """What stands between units: as wide as they are."""

    def foldings(self) -> Foldings:
        """Nothing to choose."""
        return [{}]


@stands_for("StreamingDataWidthConverter", "StreamingDataWidthConverter_rtl")
class WidthConverter(Between):
    """Beats of one width to beats of another."""

    def cost(self) -> Cost:
        """What one beat is of the other: a whole number of them, or not; the counter."""
        width_in, width_out = self.get_nodeattr("inWidth"), self.get_nodeattr("outWidth")
        down, narrow, wide = width_in > width_out, *sorted((width_in, width_out))
        whole = wide % narrow == 0
        terms = [
            float(wide * log2(wide / narrow)) if whole and down else 0.0,
            float(narrow) if whole and not down else 0.0,
            float(wide) if down and not whole else 0.0,
            float(wide) if not down and not whole else 0.0,
            ceil(log2(wide // gcd(wide, narrow))) + 1.0,
            1.0,
        ]
        return Cost(terms)


@stands_for("StreamingFIFO", "StreamingFIFO_rtl")
class Fifo(Between):
    """Beats that wait."""

    def choose_memory(self) -> None:
        """By the depth."""
        self.set_nodeattr("ram_style", ram_style(self.get_nodeattr("depth")))

    def cost(self) -> Cost:
        """Beats in registers, in LUT memory, the multiplexer behind two block RAMs, the counters.

        Yosys makes a FIFO of up to 33 beats of registers and a multiplexer, where Vivado takes
        shift registers in LUTs, one for each bit.
        """
        width, depth = self.get_instream_width_padded(), self.get_nodeattr("depth")
        style = self.get_nodeattr("ram_style")
        style = ram_style(depth) if style == "auto" else style
        held, counter = max(depth - 1, 4), ceil(log2(depth + 1)) + 1.0
        srl, lutram = float(style == "srl"), float(style == "distributed")
        block = 1.0 - srl - lutram
        two = float(block and fifo_words(depth)[1] > 0)
        terms = [
            srl * width * (ceil(held / 4) + (held > 5)) * (held <= 16),
            srl * width * (16 < held < 32),
            srl * width * (held >= 32),
            *(bits * lutram for bits in lut_memory(width, depth - 1)),
            two * width,
            srl * counter,
            lutram * counter,
            block * counter,
            srl,
            lutram,
            block,
            two,
        ]
        return Cost(terms, bram18=fifo_rams(width, depth) if block else 0)


def ram_style(depth: int) -> str:
    """What a FIFO is made of, as FINN calls it."""
    if depth <= SHIFT_REGISTER:
        return "srl"
    return "distributed" if depth <= LUT_RAM else "block"


def fifo_rams(width: int, depth: int) -> int:
    """Halves of block RAMs of FINN's FIFO, which takes two memories for an uneven depth."""
    return sum(block_rams(width, words)[0] for words in fifo_words(depth) if words)


def fifo_words(depth: int) -> tuple[int, int]:
    """Words of the two memories of FINN's FIFO in block RAM; none in the second if one is enough.

    A second one saves memory for an uneven depth.
    """
    needed = depth - 1
    low = (needed - 1).bit_length()
    if low > LEAST_BITS:
        high = max((needed - (1 << low - 1) - 1).bit_length(), 1)
        if high < low - 1:
            return 1 << low - 1, 1 << high
    return 1 << low, 0


class Estimated(StockUnit):
    """A unit of whose cost FINN has an estimate of its own."""

    def estimate(self) -> Estimate:
        """FINN's figures; UltraRAMs as block RAMs."""
        halves = int(self.bram_estimation("")) + ULTRA * int(self.uram_estimation(""))
        return Estimate(int(self.lut_estimation("")), int(self.dsp_estimation("")), halves)


@stands_for("Thresholding_rtl", "Thresholding_hls")
class Thresholds(Estimated):
    """How many thresholds of its channel an element reaches."""

    def foldings(self) -> Foldings:
        """PE divides the channels."""
        return by_lanes("PE", self.get_nodeattr("NumChannels"))


@stands_for("MVAU_rtl", "MVAU_hls")
class StockProduct(Estimated):
    """FINN's own matrix-vector unit, which `stock_hardware` makes."""

    def foldings(self) -> Foldings:
        """PE divides rows, SIMD columns; the widest input first."""
        choices = [
            {"PE": pe, "SIMD": simd}
            for pe in divisors(self.get_nodeattr("MH"))
            for simd in divisors(self.get_nodeattr("MW"))
        ]
        return sorted(choices, key=lambda at: (at["PE"] * at["SIMD"], -at["SIMD"]))
