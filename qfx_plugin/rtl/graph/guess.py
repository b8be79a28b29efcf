"""LUTs of a layer as an adder graph, guessed from its weights before the graph is solved."""

from __future__ import annotations

from brevitas_quantizers.fixed_point import count_digits

from ...ir import Weight

BITS_PER_LUT = 40
"""A product is taken to need at most (bits of its input) * (bits of its weight)**2 / 40 LUTs:
fitted to the unrolled 16-64-32-32-5 of `benchmarks/results/rtl_cost.json`, 13.5 LUTs at 8 bits, 7.8
at 6, 3.7 at 4, all weights dense."""

WIDEST = 16
"""Bits of a weight above which that estimate grows no more."""

LUT_PER_BIT, GROWTH_BITS = 0.65, 2
"""And at most so much for each bit that its signed digits add up, of numbers two bits wider than
the input: what sparse and K-hot weights need, within 10 %."""

LUTS_PER_PRODUCT = 2
"""Of a product of two numbers that are not known, by a bit of one and a bit of the other."""


def layer_luts(weight: Weight, input_bits: int) -> float:
    """LUTs of all products of a layer, once each.

    Args:
        weight: of the layer.
        input_bits: widest input.
    """
    products = int((weight.codes != 0).sum())
    dense = products * input_bits * min(weight.width, WIDEST) ** 2 / BITS_PER_LUT
    digits = int(count_digits(weight.codes).sum())
    return min(dense, LUT_PER_BIT * digits * (input_bits + GROWTH_BITS))
