"""What the hardware of a unit consists of, counted from its shape: the terms of the estimates.

Each function returns terms in LUTs, as the SystemVerilog makes them: a bit of an adder is one, a
bit of a memory of 64 words is one. `estimate.py` weights them by what Yosys makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import ceil, gcd, log2, prod
from operator import and_, or_
from typing import Any

import numpy as np

from ...units.mvu import CHAIN, Mvu
from .folding import ram_style

Terms = list[float]

_HALF_COST, _MUX_COST = 129.0, 0.33
"""What Yosys weighs a half of a block RAM with, and a bit of an input of the multiplexer."""

LEAST_BITS = 9
"""Address bits of the smallest memory that FINN's FIFO splits no further."""


def product(op: Any) -> Terms:
    """Accumulators, adder trees, lanes; start values; weights; kept inputs, counters; control.

    The terms of each module of `qfx_mvu` stand together, in the order of `PRODUCT_PARTS`.
    """
    unit: Mvu = op.unit()
    kind, bits = unit.product, unit.product.input_bits
    rows, columns = kind.shape
    blocks, words = rows // unit.pe, columns // unit.simd
    per_lane = 0.0
    if unit.digits is not None:
        per_lane = unit.digits.luts(bits)
    elif not unit.dsp:
        per_lane = bits * kind.weight_bits
    bias = float(memory_luts(unit.memories()["BIAS_FILE"][1], unit.pe * kind.result_bits))
    windowed = op.onnx_node.op_type.startswith("QFXVVU")
    beat = 0 if windowed else unit.simd * bits
    kept = lut_memory(beat, words) if blocks > 1 and words > 1 else [0.0] * 3
    return [
        float(unit.pe * kind.result_bits),
        float(unit.pe * tree_bits(unit)),
        unit.pe * unit.simd * per_lane,
        bias,
        bias * (blocks >= 64 and blocks.bit_count() == 1),
        *_weight_terms(unit),
        float(beat),
        *kept,
        log2(words) + log2(blocks),
        1.0,
    ]


PRODUCT_PARTS: dict[str, slice] = {
    "qfx_accumulator": slice(0, 1),
    "qfx_add": slice(1, 2),
    "qfx_slot_add": slice(2, 3),
    "qfx_bias": slice(3, 5),
    "qfx_rom": slice(5, 8),
    "qfx_mvu_control": slice(8, 14),
}
"""Terms of `product` by the module that they are of; the last one stands for all others, too."""


def _weight_terms(unit: Mvu) -> Terms:
    """LUTs of a memory up to 64 words and above, or the multiplexer behind rows of block RAMs."""
    text, width = unit.memories()["WEIGHT_FILE"][1], unit.pe * unit.simd * unit.code_bits
    if unit.rom_style != "block":
        luts = float(memory_luts(text, width))
        return [luts * (unit.cycles <= 64), luts * (unit.cycles > 64), 0.0]
    _, stacked = block_rams(varying_bits(text), unit.cycles)
    return [0.0, 0.0, float(width * (stacked - 1))]


def memory_luts(text: str, width: int) -> int:
    """LUTs of a memory with these words: columns that are constant or equal cost nothing."""
    words = [int(line, 16) for line in text.split()]
    if len(words) <= 2:
        return 0
    columns = {
        sum(((word >> bit) & 1) << i for i, word in enumerate(words)) for bit in range(width)
    }
    columns -= {0, (1 << len(words)) - 1}
    return len(columns) * ceil(len(words) / 64)


def varying_bits(text: str) -> int:
    """Bits of a memory's words that are not the same in all of them; the others need no memory."""
    return _varying([int(line, 16) for line in text.split()])


def _varying(words: Sequence[int]) -> int:
    return (reduce(or_, words) & ~reduce(and_, words)).bit_count()


def block_rams(width: int, depth: int) -> tuple[int, int]:
    """Halves of block RAMs for `depth` words of `width` bits, and how many are one above another.

    As Yosys packs them: words that are far apart may share a row, so that a memory that is twice as
    deep as a block is one of half the depth and twice the width, with a multiplexer behind it,
    which counts, too.
    """
    shapes = [(1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512)]
    found = []
    for wide, deep in shapes:
        stacked = ceil(depth / deep)
        halves = ceil(width * stacked / wide)
        found.append((halves * _HALF_COST + width * stacked * _MUX_COST, halves, stacked))
    _, halves, stacked = min(found)
    return halves, stacked


def tree_bits(unit: Mvu) -> int:
    """Bits of the adders behind the lanes of one row (see `sv/arithmetic/qfx_add_tree.sv`)."""
    bits, out = unit.product.input_bits, unit.product.result_bits
    if unit.digits is None:
        leaves = [(0, (1 << bits + unit.product.weight_bits) - 1)] * unit.simd
    else:
        sizes = [min(CHAIN, unit.simd - at) for at in range(0, unit.simd, CHAIN)]
        leaves = [
            (slot.low, size * ((1 << bits + slot.span) - 1))
            for slot in unit.digits.slots
            for size in sizes
        ]
    total = 0
    while len(leaves) > 1:
        pairs = [leaves[i : i + 2] for i in range(0, len(leaves), 2)]
        merged = []
        for pair in pairs:
            low = pair[0][0]
            largest = sum(value << (at - low) for at, value in pair)
            if len(pair) == 2:
                total += min(largest.bit_length() - (pair[1][0] - low), out)
            merged.append((low, largest))
        leaves = merged
    return total


def cast(op: Any) -> Terms:
    """Shifter, rounding and clip of each lane, constants of each channel; or the general form."""
    return _general_cast(op) if op.shifts is None else _shift_cast(op, op.shifts)


def _shift_cast(op: Any, shifts: Any) -> Terms:
    pe, bits = op.get_nodeattr("PE"), op.get_input_datatype().bitwidth()
    width, folds = op.get_nodeattr("width"), op.get_nodeattr("NumChannels") // pe
    least, rounds = int(shifts.min()), op.get_nodeattr("rounding") != "AP_TRN"
    extra = int(shifts.max()) - least
    whole, stages = max(bits - least, 1), extra.bit_length()
    signed = op.get_input_datatype().signed()
    relu = signed and not any(op.get_nodeattr("lows"))
    clips = whole > width or relu or signed != bool(op.get_nodeattr("signedCast"))
    return [
        float(pe * (bits + extra) * ceil(stages / 2)),
        float(pe * whole * rounds),
        float(pe * width * clips),
        pe * (least + extra) / 6 * rounds,
        float(pe * stages * ceil(folds / 64)) if folds > 1 else 0.0,
        float(pe),
        *[0.0] * 5,
    ]


def _general_cast(op: Any) -> Terms:
    """Adder, comparisons and clip on the sums, constants of each channel, sums of part products."""
    pe, wide = op.get_nodeattr("PE"), op.sum_bits()
    folds = op.get_nodeattr("NumChannels") // pe
    names = ("mult", "offset", "lows", "highs")
    lanes = [op.get_nodeattr(name)[lane::pe] for name in names for lane in range(pe)]
    kept = sum(_varying([value & ((1 << wide) - 1) for value in lane]) for lane in lanes)
    parts = len(op.factors()) * max(slices(*op.factor_bits()) - 1, 0)
    return [
        *[0.0] * 6,
        float(pe * wide),
        float(pe * max(wide - op.get_nodeattr("shift"), 1)),
        float(kept * ceil(folds / 64)),
        float(parts * sum(op.factor_bits())),
        1.0,
    ]


def slices(left: int, right: int) -> int:
    """DSP48E2 slices of a signed product, of 27 by 18 bits each; none for very small ones."""
    narrow, wide = sorted((left, right))
    if narrow < 2 or narrow + wide < 9:
        return 0
    return 1 if narrow <= 18 and wide <= 27 else 1 + -(-(narrow - 18) // 17)


def window(op: Any) -> Terms:
    """Beats kept in LUTs, the counters of a frame's beats; those of a 1x1 window are simpler."""
    width = op.get_nodeattr("SIMD") * op.get_input_datatype().bitwidth()
    small = op.get_nodeattr("ram_style") == "distributed"
    folds = op.get_nodeattr("IFMChannels") // op.get_nodeattr("SIMD")
    counter = ceil(log2(prod(op.get_nodeattr("IFMDim")) * folds))
    point = prod(op.get_nodeattr("ConvKernelDim")) == 1
    return [
        *(bits * small for bits in lut_memory(width, op.get_buffer_depth())),
        float(counter * (not point)),
        float(not point),
        float(counter**2 * point),
    ]


def lut_memory(width: int, depth: int) -> Terms:
    """Bits of memories in LUTs: up to 64 words, up to 32 in half a LUT each; the same of deeper
    ones, and those again for each 64 words."""
    words = 1 << max((depth - 1).bit_length(), 6)
    return [
        width * (words <= 64) * (0.5 if depth <= 32 else 1.0),
        float(width * (words > 64)),
        width * (words > 64) * words / 64,
    ]


def padding(op: Any) -> Terms:
    """The beat, the counters."""
    size = max(op.get_nodeattr("ImgDim"))
    return [float(op.get_instream_width()), log2(size), 1.0]


def converter(op: Any) -> Terms:
    """What one beat is of the other: a whole number of them, or not; the counter."""
    width_in, width_out = op.get_nodeattr("inWidth"), op.get_nodeattr("outWidth")
    down, narrow, wide = width_in > width_out, *sorted((width_in, width_out))
    whole = wide % narrow == 0
    return [
        float(wide * log2(wide / narrow)) if whole and down else 0.0,
        float(narrow) if whole and not down else 0.0,
        float(wide) if down and not whole else 0.0,
        float(wide) if not down and not whole else 0.0,
        ceil(log2(wide // gcd(wide, narrow))) + 1.0,
        1.0,
    ]


def fifo(op: Any) -> Terms:
    """Beats in registers, in LUT memory, the multiplexer behind two block RAMs, the counters.

    Yosys makes a FIFO of up to 33 beats of registers and a multiplexer, where Vivado takes shift
    registers in LUTs, one for each bit.
    """
    width, depth = op.get_instream_width_padded(), op.get_nodeattr("depth")
    style = op.get_nodeattr("ram_style")
    style = ram_style(depth) if style == "auto" else style
    held, counter = max(depth - 1, 4), ceil(log2(depth + 1)) + 1.0
    srl, lutram, block = (float(style == kind) for kind in ("srl", "distributed", "block"))
    two = float(block and fifo_words(depth)[1] > 0)
    return [
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


def add(op: Any) -> Terms:
    """Bits that both operands have, behind their shifts; above them only the carry goes on."""
    kinds, shifts = [op.get_input_datatype(side) for side in (0, 1)], op.get_nodeattr("shifts")
    out = op.get_output_datatype().bitwidth()
    ends = [
        min(kind.bitwidth() + shift, out) if not kind.signed() else out
        for kind, shift in zip(kinds, shifts, strict=True)
    ]
    return [float(op.get_nodeattr("PE") * max(min(ends) - max(shifts), 0)), 1.0]


def lanes(op: Any) -> Terms:
    """Bits of the result."""
    return [float(op.get_outstream_width()), 1.0]


def concat(op: Any) -> Terms:
    """Bits of the result for each stream, the counters."""
    folds = max(op.get_nodeattr("ChannelsPerStream")) // op.get_nodeattr("PE")
    streams = len(op.onnx_node.input)
    return [float(op.get_outstream_width() * streams), log2(folds * streams), 1.0]


def pool(op: Any) -> Terms:
    """Bits of the result of all lanes, the counter."""
    return [float(op.get_outstream_width()), log2(op.get_nodeattr("Taps")), 1.0]


def global_sum(op: Any) -> Terms:
    """Bits of the sums of one beat, and of all beats in memory; the counters."""
    folds = op.get_nodeattr("NumChannels") // op.get_nodeattr("PE")
    width = op.get_outstream_width()
    pixels = prod(op.get_nodeattr("numInputVectors"))
    kept = width * ceil(folds / 32) if folds > 1 else 0
    return [float(width), float(kept), log2(folds * pixels), 1.0]


FEATURES: dict[str, Callable[[Any], Terms]] = {
    "QFXMVU_rtl": product,
    "QFXVVU_rtl": product,
    "QFXRequant_rtl": cast,
    "QFXAdd_rtl": add,
    "QFXConcat_rtl": concat,
    "QFXDuplicate_rtl": lanes,
    "QFXPool_rtl": pool,
    "QFXGlobalSum_rtl": global_sum,
    "ConvolutionInputGenerator_rtl": window,
    "FMPadding_rtl": padding,
    "StreamingDataWidthConverter_rtl": converter,
    "StreamingFIFO_rtl": fifo,
}
"""By the operation of a node."""


def weighted(terms: Sequence[float], weights: Sequence[float]) -> float:
    """Sum of the terms."""
    return float(np.dot(terms, weights))
