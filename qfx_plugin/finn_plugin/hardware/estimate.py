"""What a unit costs, estimated from its shape in no time: LUTs, DSP slices, block RAM.

The weights of `features.py` stand in `estimates.json`. They are fitted to Yosys' counts for a grid
of units (`benchmarks/finn_estimates.py --fit`); the same script compares whole networks with Yosys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from .features import FEATURES, block_rams, fifo_words, slices, varying_bits, weighted


@dataclass(frozen=True)
class Estimate:
    """What a unit needs.

    Attributes:
        lut: LUTs, as logic and as memory.
        dsp: DSP slices.
        bram18: halves of a block RAM.
    """

    lut: int = 0
    dsp: int = 0
    bram18: int = 0

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.lut + other.lut, self.dsp + other.dsp, self.bram18 + other.bram18)

    @property
    def used(self) -> dict[str, float]:
        """Pieces by the names that reports use."""
        return {"lut": self.lut, "dsp": self.dsp, "bram36": self.bram18 / 2}


def estimate(op: Any) -> Estimate:
    """Estimate a specialised unit; all zeros for one that is not known."""
    kind = op.onnx_node.op_type
    if kind not in FEATURES:
        return Estimate(
            int(op.lut_estimation("")), int(op.dsp_estimation("")), int(op.bram_estimation(""))
        )
    return Estimate(luts(op), dsps(op), brams(op))


def luts(op: Any) -> int:
    """LUTs of a unit."""
    kind = op.onnx_node.op_type
    return max(round(weighted(FEATURES[kind](op), weights()[kind])), 1)


def dsps(op: Any) -> int:
    """DSP slices: one for each lane that multiplies."""
    kind = op.onnx_node.op_type
    if kind == "QFXMVU_rtl":
        return op.get_nodeattr("PE") * op.get_nodeattr("SIMD") * (op.unit().datapath == "mul")
    if kind == "QFXVVU_rtl":
        return op.get_nodeattr("PE") * (op.unit().datapath == "mul")
    if kind == "QFXRequant_rtl":
        return len(op.factors()) * slices(*op.factor_bits())
    return 0


def brams(op: Any) -> int:
    """Halves of block RAMs."""
    kind = op.onnx_node.op_type
    if kind in ("QFXMVU_rtl", "QFXVVU_rtl") and op.get_nodeattr("rom_style") == "block":
        unit = op.unit()
        return block_rams(varying_bits(unit.memories()["WEIGHT_FILE"][1]), unit.cycles)[0]
    if kind == "ConvolutionInputGenerator_rtl" and op.get_nodeattr("ram_style") == "block":
        return block_rams(op.get_instream_width(), op.get_buffer_depth())[0]
    if kind == "StreamingFIFO_rtl" and op.get_nodeattr("ram_style") == "block":
        return fifo_rams(op.get_instream_width_padded(), op.get_nodeattr("depth"))
    return 0


def fifo_rams(width: int, depth: int) -> int:
    """Halves of block RAMs of FINN's FIFO, which takes two memories for an uneven depth."""
    return sum(block_rams(width, words)[0] for words in fifo_words(depth) if words)


@cache
def weights() -> dict[str, Sequence[float]]:
    """The fitted weights by operation."""
    text = (files(__package__) / "templates" / "estimates.json").read_text(encoding="utf-8")
    return dict(json.loads(text)["weights"])
