"""`QFXMVU`: folded matrix-vector unit for any integer weights; K-hot ones without multiplying.

The hardware is the one of `qfx_plugin/units/mvu.py`. Weights are an attribute of the node, so that
every input of the node is a stream.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...units.mvu import MODULE, MatrixProduct, Mvu, fold
from ...units.product import memory_style, product_terms
from ...units.terms import block_rams, varying_bits
from .elementwise import ElementwiseOp
from .rtl import Instance, operation, unit_instance
from .unit import Cost, Foldings, divisors

DATAPATHS = ("auto", "khot", "radix4", "mul", "dsp")
"""`auto` takes the smaller of the two without multipliers; `mul` multiplies in LUTs, `dsp` in DSP
slices."""

WIDEST = 1024
"""Most bits of a stream."""


@operation
class QFXMVU(ElementwiseOp):
    """`weight @ x + bias` on integers, PE rows by SIMD columns in each cycle."""

    input_lanes = "SIMD"

    attributes = {
        "SIMD": ("i", False, 1),
        "MW": ("i", True, 0),
        "weight": ("t", True, np.zeros((1, 1), dtype=np.int8)),
        "bias": ("ints", False, []),
        "datapath": ("s", False, "auto", set(DATAPATHS)),
        "rom_style": ("s", False, "auto", {"auto", "block", "distributed"}),
    }
    """Weights, folding, and what the product is built from."""

    @property
    def matrix(self) -> NDArray[np.int64]:
        """(rows, columns) weights."""
        return np.asarray(self.get_nodeattr("weight")).astype(np.int64)

    @property
    def start(self) -> NDArray[np.int64]:
        """(rows,) added to the sums."""
        bias = self.get_nodeattr("bias")
        return np.asarray(bias or [0] * self.get_nodeattr("NumChannels"), dtype=np.int64)

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, [height, width,] columns)."""
        return (*self.get_nodeattr("numInputVectors"), self.get_nodeattr("MW"))

    def get_exp_cycles(self) -> int:
        """Vectors times the steps of one."""
        steps = int(self.get_nodeattr("MW") // self.get_nodeattr("SIMD"))
        return prod(self.get_folded_output_shape()[:-1]) * steps

    def get_op_and_param_counts(self) -> dict[str, int]:
        """Multiply-accumulates of a frame, and weights."""
        kind, size = self.get_input_datatype().bitwidth(), self.matrix.size
        bits = self.product().weight_bits
        macs = size * prod(self.get_nodeattr("numInputVectors"))
        return {f"op_mac_{kind}bx{bits}b": macs, f"param_weight_{bits}b": size}

    @property
    def multipliers(self) -> int:
        """Products a cycle, each of which takes one DSP slice with the datapath `dsp`."""
        return int(self.get_nodeattr("PE") * self.get_nodeattr("SIMD"))

    def foldings(self) -> Foldings:
        """PE divides rows, SIMD columns; the widest input first: accumulators are dear."""
        rows, columns = self.get_nodeattr("NumChannels"), self.get_nodeattr("MW")
        bits_in = self.get_input_datatype().bitwidth()
        bits_out = self.get_output_datatype().bitwidth()
        choices = [
            {"PE": pe, "SIMD": simd}
            for pe in divisors(rows)
            for simd in divisors(columns)
            if pe * bits_out <= WIDEST and simd * bits_in <= WIDEST
        ]
        return sorted(choices, key=lambda at: (at["PE"] * at["SIMD"], -at["SIMD"]))

    def choose_memory(self) -> None:
        """Weights in LUTs up to 64 words or few bits, else in block RAM."""
        self.set_nodeattr("rom_style", memory_style(self.unit()))

    def cost(self) -> Cost:
        """The parts of the product; a DSP slice for each lane that multiplies in one."""
        unit, halves = self.unit(), 0
        memories = unit.memories()
        weights, starts = memories["WEIGHT_FILE"][1], memories["BIAS_FILE"][1]
        if unit.rom_style == "block":
            halves, _ = block_rams(varying_bits(weights), unit.cycles)
        slices = unit.pe * unit.simd if unit.datapath == "mul" and unit.dsp else 0
        return Cost(product_terms(unit, weights, starts, beat=self.kept_beat()), slices, halves)

    def kept_beat(self) -> int:
        """Bits of an input beat, which are kept for the next rows."""
        return self.get_instream_width()

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        rows = self.codes(context, 0).reshape(-1, self.get_nodeattr("MW"))
        self.store(context, rows @ self.matrix.T + self.start)

    def product(self) -> MatrixProduct:
        """What is computed, as the hardware's generator takes it."""
        weight, kind = self.matrix, self.get_input_datatype()
        return MatrixProduct(
            label=self.onnx_node.name,
            weight=weight,
            bias=self.start.astype(object),
            input_bits=kind.bitwidth(),
            input_signed=kind.signed(),
            # Sums are exact modulo a power of two: the proven range of the result is enough.
            result_bits=self.get_output_datatype().bitwidth(),
            frac_bits=np.zeros(1, dtype=np.int64),
            k=least_digits(weight),
        )

    def unit(self) -> Mvu:
        """The folded unit with this node's parallelism."""
        datapath, style = self.get_nodeattr("datapath"), self.get_nodeattr("rom_style")
        return fold(
            self.product(),
            self.get_nodeattr("PE"),
            self.get_nodeattr("SIMD"),
            name=self.get_verilog_top_module_name(),
            datapath="mul" if datapath == "dsp" else datapath,
            rom_style=style,
            dsp=datapath == "dsp",
        )

    def instance(self) -> Instance:
        """`qfx_mvu` with its memories."""
        return self.wrapped()

    def wrapped(self, **more: int | str) -> Instance:
        """`qfx_mvu` with its memories and more parameters."""
        unit = self.unit()
        memories = unit.memories()
        parameters = unit.parameters | more
        parameters |= {key: f'"{name}"' for key, (name, _) in memories.items()}
        return unit_instance(MODULE, parameters, dict(memories.values()))


def least_digits(weight: NDArray[np.int64]) -> int:
    """The smallest K with which all weights are K-hot: nonzero digits in non-adjacent form."""
    magnitude = np.abs(weight)
    digits = ((magnitude ^ (3 * magnitude))[..., np.newaxis] >> np.arange(63)) & 1
    return int(digits.sum(axis=-1).max()) or 1
