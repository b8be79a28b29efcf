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
from .elementwise import ElementwiseOp
from .rtl import Instance, RTLOp, unit_instance

DATAPATHS = ("auto", "khot", "radix4", "mul", "dsp")
"""`auto` takes the smaller of the two without multipliers; `mul` multiplies in LUTs, `dsp` in DSP
slices."""


class QFXMVU(ElementwiseOp):
    """`weight @ x + bias` on integers, PE rows by SIMD columns in each cycle."""

    def get_nodeattr_types(self) -> dict[str, Any]:
        """Weights, folding, and what the product is built from."""
        attributes = super().get_nodeattr_types()
        attributes.update(
            {
                "SIMD": ("i", False, 1),
                "MW": ("i", True, 0),
                "weight": ("t", True, np.zeros((1, 1), dtype=np.int8)),
                "bias": ("ints", False, []),
                "datapath": ("s", False, "auto", set(DATAPATHS)),
                "rom_style": ("s", False, "auto", {"auto", "block", "distributed"}),
            }
        )
        return attributes

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

    def get_normal_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, [height, width,] rows)."""
        return ElementwiseOp.get_normal_input_shape(self)

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """Columns in groups of SIMD."""
        simd, columns = self.get_nodeattr("SIMD"), self.get_nodeattr("MW")
        if columns % simd:
            raise ValueError(f"{self.onnx_node.name}: SIMD must divide {columns}, not be {simd}")
        return (*self.get_nodeattr("numInputVectors"), columns // simd, simd)

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """Rows in groups of PE."""
        return ElementwiseOp.get_folded_input_shape(self)

    def get_instream_width(self, ind: int = 0) -> int:
        """Bits per cycle that come in."""
        return int(self.get_nodeattr("SIMD") * self.get_input_datatype().bitwidth())

    def get_exp_cycles(self) -> int:
        """Vectors times the steps of one."""
        steps = self.get_nodeattr("MW") // self.get_nodeattr("SIMD")
        return prod(self.get_folded_output_shape()[:-1]) * steps

    def get_op_and_param_counts(self) -> dict[str, int]:
        """Multiply-accumulates of a frame, and weights."""
        kind, size = self.get_input_datatype().bitwidth(), self.matrix.size
        bits = self.product().weight_bits
        macs = size * prod(self.get_nodeattr("numInputVectors"))
        return {f"op_mac_{kind}bx{bits}b": macs, f"param_weight_{bits}b": size}

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


class QFXMVU_rtl(QFXMVU, RTLOp):  # noqa: N801  FINN's suffix
    """`QFXMVU` in SystemVerilog."""

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """In Python or as RTL simulation."""
        if not self.run_rtl(context, graph):
            QFXMVU.execute_node(self, context, graph)

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
    return int(_ones(magnitude ^ (3 * magnitude)).max()) or 1


def _ones(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits that are set."""
    bits = np.arange(63)
    return ((values[..., np.newaxis] >> bits) & 1).sum(axis=-1)
