"""What the hardware of a unit consists of, counted from its shape: the terms of the estimates.

Each function returns terms in LUTs, as the SystemVerilog makes them: a bit of an adder is one, a
bit of a memory of 64 words is one. `estimate.py` weights them by what Yosys makes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, log2, prod
from typing import Any

import numpy as np

from ..rtl.mvu import CHAIN, Mvu
from .folding import ram_style

Terms = list[float]


def product(op: Any) -> Terms:
    """Lanes, adder trees, accumulators, memories in LUTs, kept inputs; one for the control."""
    unit: Mvu = op.unit()
    return _unit_terms(unit, unit.simd if op.onnx_node.op_type.startswith("QFXMVU") else 0)


def _unit_terms(unit: Mvu, shared: int) -> Terms:
    kind, bits = unit.product, unit.product.input_bits
    lanes = unit.pe * unit.simd
    per_lane = 0.0
    if unit.digits is not None:
        per_lane = unit.digits.luts(bits)
    elif not unit.dsp:
        per_lane = bits * kind.weight_bits
    rows, columns = kind.shape
    blocks, words = rows // unit.pe, columns // unit.simd
    memories = unit.memories()
    weight = memory_luts(memories["WEIGHT_FILE"][1], unit.pe * unit.simd * unit.code_bits)
    bias = memory_luts(memories["BIAS_FILE"][1], unit.pe * kind.result_bits)
    in_luts = unit.rom_style != "block"
    kept = shared * bits * ceil(words / 64) if blocks > 1 and words > 1 else 0.0
    return [
        lanes * per_lane,
        unit.pe * tree_bits(unit),
        float(unit.pe * kind.result_bits),
        float(weight if in_luts else 0),
        float(bias),
        float(kept),
        1.0,
    ]


def memory_luts(text: str, width: int) -> int:
    """LUTs of a memory with these words: columns that are constant or equal cost nothing."""
    words = [int(line, 16) for line in text.split()]
    columns = {
        sum(((word >> bit) & 1) << i for i, word in enumerate(words)) for bit in range(width)
    }
    columns -= {0, (1 << len(words)) - 1}
    if len(words) <= 2:
        return 0
    return len(columns) * ceil(len(words) / 64)


def tree_bits(unit: Mvu) -> int:
    """Bits of the adders behind the lanes of one row (see `sv/qfx_add_tree.sv`)."""
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
    pe, bits = op.get_nodeattr("PE"), op.get_input_datatype().bitwidth()
    shifts, width = op.shifts, op.get_nodeattr("width")
    folds = op.get_nodeattr("NumChannels") // pe
    if shifts is None:
        wide = op.sum_bits()
        plain = op.function.shifts_only
        return [0.0, 0.0, 0.0, 0.0, float(pe * wide * (1 if plain else bits)), pe * wide * 2.0, 1.0]
    extra = int(shifts.max() - shifts.min())
    whole = max(bits - int(shifts.min()), 1)
    stages = extra.bit_length()
    return [
        float(pe * (bits + extra) * ceil(stages / 2)),
        float(pe * whole),
        float(pe * width),
        float(pe * stages * ceil(folds / 64)) if folds > 1 else 0.0,
        0.0,
        0.0,
        1.0,
    ]


def window(op: Any) -> Terms:
    """Beats kept in LUTs, the beat itself, the counters."""
    width = op.get_nodeattr("SIMD") * op.get_input_datatype().bitwidth()
    depth = max(int(op.get_buffer_depth()), 2)
    small = op.get_nodeattr("ram_style") == "distributed"
    return [float(width * ceil(depth / 32)) if small else 0.0, float(width), log2(depth), 1.0]


def padding(op: Any) -> Terms:
    """The beat, the counters."""
    size = max(op.get_nodeattr("ImgDim"))
    return [float(op.get_instream_width()), log2(size), 1.0]


def converter(op: Any) -> Terms:
    """The narrower and the wider beat, and how many of one fit the other."""
    width_in, width_out = op.get_nodeattr("inWidth"), op.get_nodeattr("outWidth")
    down, whole = width_in > width_out, max(width_in, width_out) % min(width_in, width_out) == 0
    return [
        float(width_in * down), float(width_out * (not down)),
        float(min(width_in, width_out) * (not whole)), 1.0,
    ]  # fmt: skip


def fifo(op: Any) -> Terms:
    """Beats in shift registers, in LUT memory, the beat before a block RAM, the counters."""
    width, depth = op.get_instream_width_padded(), op.get_nodeattr("depth")
    style = op.get_nodeattr("ram_style")
    style = ram_style(depth) if style == "auto" else style
    held = max(depth - 1, 4)
    return [
        float(width * held) if style == "srl" else 0.0,
        float(width * ceil(depth / 32)) if style == "distributed" else 0.0,
        float(width) if style == "block" else 0.0,
        log2(depth + 1),
        1.0,
    ]


def lanes(op: Any) -> Terms:
    """Bits of the result."""
    return [float(op.get_outstream_width()), 1.0]


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
    "QFXAdd_rtl": lanes,
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
