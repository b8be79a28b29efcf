"""LUTs of a layer under each strategy: estimates for choosing between them, not for a data sheet.

Every number below comes from Yosys (0.70, `synth_xilinx -family xcup`) on SystemVerilog of the same
arithmetic, not from Vitis HLS. Two experiments:

    A dot product of 8 lanes with 8-bit data and 8-bit weights from a memory, one set per cycle:
        multipliers in LUTs 1,308 LUTs; in DSPs 8 DSPs and 140 LUTs; shifters for K = 1 500 LUTs,
        for K = 2 995. Without the 140 for the sum, a lane takes 146, 45, and 62 for a second digit.

    An MLP 16-64-32-32-5 (4,256 weights) as adder graphs, all side by side, 8-bit data:
        8-bit weights (2.8 digits on average) 63,461 LUTs; K = 2 52,164; K = 1 29,663. For each
        weight: 14.9, 12.3, 7.0, within 4 % of 7.0 * digits ** 0.75.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

MULTIPLIER = 146 / 64
"""LUTs of a multiplier for each bit of one operand times each of the other."""

FIRST_DIGIT, MORE_DIGITS = 45 / (8 * 3), 62 / (8 * 3)
"""LUTs of a digit's shifter and adder, for each bit of the data and each bit of the shift."""

GRAPH_WEIGHT, GRAPH_POWER = 7.0 / 8, 0.75
"""LUTs of a weight with one digit in an adder graph, for each bit of the data; and their growth
with the digits."""

DSP = 70_560 / 360
"""LUTs that a DSP is worth on the Ultra96 v2's device: as many as there are for each."""

ROM_BITS = 64
"""Bits of weight memory that one LUT holds."""

GRAPH_ADDERS = 1_000
"""Adders of a graph up to which g++ compiles its C simulation in half a minute."""


@dataclass(frozen=True)
class Work:
    """What a layer multiplies.

    Attributes:
        n_in: products of one sum.
        weights: constants.
        reuse_factor: cycles of one result.
        data_bits: word length of the data.
        weight_bits: word length of the constants.
        k: most digits of a constant.
        digits: digits of all constants together.
        word_bits: bits of a K-hot word.
        shift_bits: bits of a shift in it.
    """

    n_in: int
    weights: int
    reuse_factor: int
    data_bits: int
    weight_bits: int
    k: int
    digits: int
    word_bits: int
    shift_bits: int

    @property
    def lanes(self) -> float:
        """Products of one cycle."""
        return self.weights / self.reuse_factor


def multiplier_luts(data_bits: int, weight_bits: int) -> float:
    """LUTs of a multiplier, or of the DSP that replaces it if that is cheaper."""
    return min(MULTIPLIER * data_bits * weight_bits, DSP)


def shifter_luts(data_bits: int, k: int, shift_bits: int) -> float:
    """LUTs of one product by K shifters and K - 1 adders."""
    return data_bits * shift_bits * (FIRST_DIGIT + MORE_DIGITS * (k - 1))


def estimate(work: Work) -> dict[str, int]:
    """LUTs under each strategy that makes sense at the layer's reuse factor.

    Unrolled, constants are wires: a product is one adder for each digit, whether written as a
    product or as shifts; an adder graph shares sums between outputs.
    """
    if work.reuse_factor == 1:
        adder_bits = work.data_bits + work.weight_bits / 2 + log2(max(work.n_in, 2)) / 2
        adders = work.digits * adder_bits
        mean = work.digits / max(work.weights, 1)
        graph = GRAPH_WEIGHT * work.data_bits * mean**GRAPH_POWER * work.weights
        luts = {"latency": adders, "khot": adders, "da": graph}
    else:
        memory = {"resource": work.weight_bits, "khot": work.word_bits}
        lane = {
            "resource": multiplier_luts(work.data_bits, work.weight_bits),
            "khot": shifter_luts(work.data_bits, work.k, work.shift_bits),
        }
        luts = {
            name: work.lanes * lane[name] + work.weights * bits / ROM_BITS
            for name, bits in memory.items()
        }
    return {name: round(value) for name, value in luts.items()}
