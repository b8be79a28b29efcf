"""The unit that multiplies two streams of matrices: its widths, what it costs, its wires.

rows of a ─▶ qfx_unpack ─┐
                         ├─▶ qfx_matmul ─▶ what follows; see `behind`
rows of b ─▶ qfx_unpack ─┘
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

from ...errors import OptionError
from ...ir import FixedType
from ...simulation.lanes import Lanes
from ...units.product import SMALLEST_PRODUCT, UnitCost
from ...units.terms import block_rams, slices
from ..graph.guess import LUTS_PER_PRODUCT
from ..graph.kernel import code_lanes
from ..options import Fold
from .behind import Behind
from .moves import lane_points
from .products import StreamProduct
from .stage import Stage
from .wiring import Stream, connect_words, remap_lanes

CONTROL_LUTS, LUTRAM_PER_BIT = 90, 0.75
"""Of counters and handshakes, and of a bit of a memory of 64 words: as
Yosys counts them, within 15 %."""

LUTRAM_WORDS, LUTRAM_BITS = 64, 4096
"""Up to so many words, or bits, memories are in LUTs: as `sv/stream/qfx_replay.sv` decides."""


@dataclass(frozen=True)
class MatMulFolding:
    """How a product of two streams is folded.

    Attributes:
        simd: elements of the inner axis at once.
        dsp: products in DSP slices; otherwise in LUTs.
    """

    simd: int
    dsp: bool = False

    @property
    def pe(self) -> int:
        """Outputs at once."""
        return 1

    @classmethod
    def of(cls, stage: Stage, parts: Fold) -> MatMulFolding:
        """As a user names it: (1, simd), and "dsp" or not.

        Raises:
            OptionError: it is not.
        """
        pe, simd, *words = parts
        inner = product_of(stage).inner
        if pe != 1 or inner % int(simd):
            raise OptionError(
                f"fold: {stage.label} gives one output at once, and simd must divide the {inner} "
                f"products that each sums, not {pe} and {simd}; use (1, {inner}) for the fastest"
            )
        if words not in ([], ["dsp"]):
            raise OptionError(
                f"fold: {stage.label} keeps its operands in block RAM or LUTs by their size: "
                f"leave out {' '.join(str(word) for word in words if word != 'dsp')!r}"
            )
        return cls(int(simd), bool(words))

    @classmethod
    def smallest(cls, stage: Stage, pace: int) -> MatMulFolding:
        """The fewest products at once that need at most `pace` cycles for a sample, or all."""
        inner = product_of(stage).inner
        choices = [cls(simd) for simd in range(1, inner + 1) if inner % simd == 0]
        return next((one for one in choices if one.cycles(stage) <= pace), choices[-1])

    def cycles(self, stage: Stage) -> int:
        """Cycles of the stage for a sample."""
        product = product_of(stage)
        return product.sums * (product.inner // self.simd)

    def cost(self, stage: Stage) -> UnitCost:
        """What the stage needs, before synthesis."""
        return MatMulUnit(stage, self).cost


@dataclass(frozen=True, eq=False)
class Operand:
    """One of the two streams.

    Attributes:
        pixel: type of a row.
        rows: that are given again and again, while the next ones come in.
        always_signed: whether its elements are two's complement in any case.
    """

    pixel: FixedType
    rows: int
    always_signed: bool

    @property
    def point(self) -> int:
        """The binary point that all elements are brought to."""
        return max(lane_points(self.pixel))

    @property
    def shifts(self) -> list[int]:
        """By which each is shifted left."""
        return [self.point - point for point in lane_points(self.pixel)]

    @property
    def signed(self) -> bool:
        """Whether its elements are two's complement."""
        return self.always_signed or any(code_lanes(self.pixel).signed)

    @property
    def bits(self) -> int:
        """Of an element."""
        lanes = code_lanes(self.pixel)
        parts = zip(lanes.widths, lanes.signed, self.shifts, strict=True)
        return max(width + shift + (self.signed > signed) for width, signed, shift in parts)


@dataclass(frozen=True, eq=False)
class MatMulUnit:
    """The unit of a stage.

    Attributes:
        stage: the stage.
        folding: of the unit.
    """

    stage: Stage
    folding: MatMulFolding

    @property
    def product(self) -> StreamProduct:
        """What is multiplied."""
        return product_of(self.stage)

    @cached_property
    def operands(self) -> tuple[Operand, Operand]:
        """Both streams."""
        group, ((_, side),) = self.product.group, self.stage.sides
        first = Operand(self.stage.pixel, group, False)
        return first, Operand(side, group * self.product.columns, True)

    @property
    def shifts(self) -> list[int]:
        """From sums to the result's codes, channel by channel; right shifts lose no bit."""
        point = sum(operand.point for operand in self.operands)
        return [bits - point for bits in lane_points(self.product.kind)]

    @property
    def result_bits(self) -> int:
        """Of a sum: those that are in a result."""
        lanes = code_lanes(self.product.kind)
        return max(1, *(w - shift for w, shift in zip(lanes.widths, self.shifts, strict=True)))

    @property
    def memories(self) -> list[tuple[int, int]]:
        """(bits of a word, words) of the memories of both operands."""
        words = self.product.inner // self.folding.simd
        return [
            (self.folding.simd * operand.bits, 1 << (2 * operand.rows * words - 1).bit_length())
            for operand in self.operands
        ]

    @property
    def cost(self) -> UnitCost:
        """Products, their sums, memories, and the registers in front that give words of rows."""
        (left, right), simd = self.operands, self.folding.simd
        lut, halves = CONTROL_LUTS + self.result_bits + (simd - 1) * (left.bits + right.bits), 0
        for width, depth in self.memories:
            if _in_luts(width, depth):
                lut += round(LUTRAM_PER_BIT * width * ceil(depth / 64))
            else:
                halves += block_rams(width, depth)[0]
        if simd < self.product.inner:
            lut += self.product.inner * (left.bits + right.bits)
        dsp = 0
        if self.folding.dsp and left.bits + right.bits >= SMALLEST_PRODUCT:
            dsp = simd * slices(left.bits + (not left.signed), right.bits)
        else:
            lut += LUTS_PER_PRODUCT * simd * left.bits * right.bits
        return UnitCost(lut, dsp, halves / 2)

    @property
    def facts(self) -> dict[str, Any]:
        """Of the stage, for reports."""
        cost = self.cost
        return {
            "style": "folded",
            "cycles": self.folding.cycles(self.stage),
            "pe": 1,
            "simd": self.folding.simd,
            "datapath": "mul",
            "memory": "distributed" if all(_in_luts(*one) for one in self.memories) else "block",
            "memory_bits": sum(width * depth for width, depth in self.memories),
            "unit_lut": cost.lut,
            "dsp": cost.dsp,
            "bram36": cost.bram36,
        }

    def connect(self, behind: Behind) -> list[str]:
        """From streams `s` and `t` to stream `m`.

        Args:
            behind: computes the other operations, if there are any.
        """
        product, simd = self.product, self.folding.simd
        words, channels = product.inner // simd, product.kind.shape[0]
        sums = Stream("sums", self.result_bits)
        lines = sums.declaration()
        for operand, source, name in zip(self.operands, "st", "ab", strict=True):
            row = Stream(f"row_{name}", product.inner * operand.bits)
            word = Stream(name, simd * operand.bits)
            lines += [*row.declaration(), *word.declaration()]
            lines += remap_lanes(
                f"{row.name}_tdata", Lanes.uniform(product.inner, operand.bits),
                f"{source}_tdata", code_lanes(operand.pixel), operand.shifts,
            )  # fmt: skip
            lines += [
                f"  assign {row.name}_tvalid = {source}_tvalid;",
                f"  assign {source}_tready = {row.name}_tready;",
            ]
            lines += connect_words("qfx_unpack", f"unpack_{name}", word.bits, words, row, word)
        left, right = self.operands
        values = {
            "SIMD": simd, "WORDS": words, "GROUP": product.group, "COLUMNS": product.columns,
            "ROWS": product.rows, "AW": left.bits, "ASIGNED": int(left.signed), "BW": right.bits,
            "USE_DSP": int(self.folding.dsp), "ACCW": self.result_bits,
        }  # fmt: skip
        parameters = ", ".join(f".{key}({value})" for key, value in values.items())
        lines += [
            f"  qfx_matmul #({parameters}) unit (",
            "      .clk, .rst, .a_tdata, .a_tvalid, .a_tready, .b_tdata, .b_tvalid, .b_tready,",
            f"      {sums.connection('m')});",
        ]
        return [*lines, *behind.connect(sums, sums.bits, self.shifts, channels)]


def product_of(stage: Stage) -> StreamProduct:
    """The product of a stage that has one."""
    assert stage.product is not None
    return stage.product


def _in_luts(width: int, depth: int) -> bool:
    return depth <= LUTRAM_WORDS or width * depth <= LUTRAM_BITS
