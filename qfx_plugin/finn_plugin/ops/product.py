"""Terms of a folded matrix product: what `QFXMVU` and `QFXVVU` cost."""

from __future__ import annotations

from math import log2

from ...units.mvu import CHAIN, Mvu
from .terms import Terms, block_rams, lut_memory, memory_luts, varying_bits


def product_terms(unit: Mvu, weights: str, starts: str, *, beat: int) -> Terms:
    """Accumulators, adder trees, lanes; start values; weights; kept inputs, counters; control.

    The terms of each module of `qfx_mvu` stand together, in the order of `PRODUCT_PARTS`.

    Args:
        unit: the folded unit.
        weights: words of its memory of weights.
        starts: words of its memory of start values.
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
    bias = float(memory_luts(starts, unit.pe * kind.result_bits))
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


def _weight_terms(unit: Mvu, text: str) -> Terms:
    """LUTs of a memory up to 64 words and above, or the multiplexer behind rows of block RAMs."""
    width = unit.pe * unit.simd * unit.code_bits
    if unit.rom_style != "block":
        luts = float(memory_luts(text, width))
        return [luts * (unit.cycles <= 64), luts * (unit.cycles > 64), 0.0]
    _, stacked = block_rams(varying_bits(text), unit.cycles)
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
