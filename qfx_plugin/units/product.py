"""What a folded matrix product costs: its terms, weighted as Yosys counts them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np

from .mvu import CHAIN, Mvu
from .terms import (
    Terms,
    all_weights,
    block_rams,
    lut_memory,
    memory_luts,
    slices,
    varying_bits,
)

WEIGHED_AS = "QFXMVU"
SHALLOW_WORDS, FEW_BITS = 64, 4096
"""Up to so many words, or bits, weights are kept in LUTs."""
SMALLEST_PRODUCT = 9
"""Bits of a product that is worth a DSP slice."""


@dataclass(frozen=True)
class UnitCost:
    """What a unit needs, before synthesis.

    Attributes:
        lut: LUTs, as logic and as memory.
        dsp: DSP slices.
        bram36: block RAMs of 36 Kbit.
    """

    lut: int
    dsp: int
    bram36: float


def unit_cost(unit: Mvu) -> UnitCost:
    """Of any weights of these formats: no bit of a memory is taken to be always the same."""
    if not multipliers(unit):
        unit = replace(unit, dsp=False)
    terms = product_terms(unit, None, None, beat=unit.simd * unit.product.input_bits)
    luts = float(np.dot(terms, all_weights()[WEIGHED_AS]))
    halves = 0
    if unit.rom_style == "block":
        halves, _ = block_rams(unit.pe * unit.simd * unit.code_bits, unit.cycles)
    return UnitCost(max(round(luts), 1), multipliers(unit), halves / 2)


def multipliers(unit: Mvu) -> int:
    """DSP slices of a unit; very small products take none."""
    if unit.datapath != "mul" or not unit.dsp:
        return 0
    left, right = unit.product.input_bits, unit.product.weight_bits
    if left + right < SMALLEST_PRODUCT:
        return 0
    return unit.pe * unit.simd * slices(left + (not unit.product.input_signed), right)


def memory_style(unit: Mvu) -> str:
    """Where weights are kept by default: "distributed", in LUTs, or "block"."""
    small = unit.cycles <= SHALLOW_WORDS or unit.memory_bits <= FEW_BITS
    return "distributed" if small else "block"


def product_terms(unit: Mvu, weights: str | None, starts: str | None, *, beat: int) -> Terms:
    """Accumulators, adder trees, lanes; start values; weights; kept inputs, counters; control.

    The terms of each module of `qfx_mvu` stand together, in the order of `PRODUCT_PARTS`.

    Args:
        unit: the folded unit.
        weights: words of its memory of weights, or none: any.
        starts: words of its memory of start values, or none: any.
        beat: bits of an input beat that are kept for the next rows; 0 if none are.
    """
    kind = unit.product
    rows, columns = kind.shape
    blocks, words = rows // unit.pe, columns // unit.simd
    per_lane = 0.0
    if unit.digits is not None:
        per_lane = unit.digits.luts(kind.input_bits)
    elif not unit.dsp:
        per_lane = kind.input_bits * kind.weight_bits
    bias = float(_memory_luts(starts, unit.pe * kind.result_bits, blocks))
    kept = lut_memory(beat, words) if blocks > 1 and words > 1 else [0.0] * 3
    return [
        float(unit.pe * kind.result_bits),
        float(unit.pe * tree_bits(unit)),
        unit.pe * unit.simd * per_lane,
        bias,
        bias * (blocks >= 64 and blocks.bit_count() == 1),
        *_weight_terms(unit, weights),
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
"""Terms of `product_terms` by the module that they are of; the last stands for others, too."""


def _memory_luts(text: str | None, width: int, words: int) -> int:
    if text is not None:
        return memory_luts(text, width)
    return width * ceil(words / 64) if words > 2 else 0


def _weight_terms(unit: Mvu, text: str | None) -> Terms:
    """LUTs of a memory up to 64 words and above, or the multiplexer behind rows of block RAMs."""
    width = unit.pe * unit.simd * unit.code_bits
    if unit.rom_style != "block":
        luts = float(_memory_luts(text, width, unit.cycles))
        return [luts * (unit.cycles <= 64), luts * (unit.cycles > 64), 0.0]
    _, stacked = block_rams(width if text is None else varying_bits(text), unit.cycles)
    return [0.0, 0.0, float(width * (stacked - 1))]


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
