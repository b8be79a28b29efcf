"""`QFXMultiply`, of two streams, and `QFXKnown`, a stream with a constant of each element."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qonnx.core.datatype import BaseDataType, DataType

from ...units.terms import memory_luts, slices
from .add import QFXAdd
from .elementwise import ElementwiseOp
from .rtl import Instance, operation
from .unit import Cost


@operation
class QFXMultiply(QFXAdd):
    """`left * right`."""

    def cost(self) -> Cost:
        """A product of each lane, in LUTs if it is small."""
        left, right = (self.get_input_datatype(side) for side in (0, 1))
        return product_cost(self, left, right)

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        self.store(context, self.codes(context, 0) * self.codes(context, 1))

    def instance(self) -> Instance:
        """`qfx_stream_multiply`."""
        made = super().instance()
        parameters = {k: v for k, v in made.parameters.items() if not k.endswith("SHIFT")}
        return Instance("qfx_stream_multiply", parameters, inputs=made.inputs)


def product_cost(unit: ElementwiseOp, left: BaseDataType, right: BaseDataType) -> Cost:
    """Of products of two types, one in each lane."""
    lanes, bits = unit.get_nodeattr("PE"), (left.bitwidth(), right.bitwidth())
    found = slices(*bits)
    in_luts = 0 if found else lanes * bits[0] * bits[1]
    return Cost([float(in_luts), float(unit.get_outstream_width()), 1.0], lanes * found)


@operation
class QFXKnown(ElementwiseOp):
    """`(x << shifts[0]) + (known << shifts[1])`, or `x * known`: a constant of each element."""

    attributes = {
        "known": ("t", True, np.zeros(1, dtype=np.int64)),
        "knownDataType": ("s", True, ""),
        "shifts": ("ints", False, [0, 0]),
        "Function": ("s", True, "", {"Add", "Multiply"}),
    }
    """The constant in the order of the stream."""

    @property
    def constant(self) -> NDArray[np.int64]:
        """(elements,) codes."""
        return np.asarray(self.get_nodeattr("known")).astype(np.int64).reshape(-1)

    def cost(self) -> Cost:
        """Bits of the sums or products, the memory."""
        kind, right = self.get_input_datatype(), DataType[self.get_nodeattr("knownDataType")]
        memory = float(memory_luts(self._words(), self.get_nodeattr("PE") * right.bitwidth()))
        if self.get_nodeattr("Function") == "Multiply":
            found = product_cost(self, kind, right)
            return Cost([*found.terms, memory], found.dsp)
        return Cost([0.0, float(self.get_outstream_width()), 1.0, memory])

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        codes = self.codes(context, 0)
        known = self.constant.reshape(codes.shape)
        if self.get_nodeattr("Function") == "Multiply":
            self.store(context, codes * known)
        else:
            left, right = self.get_nodeattr("shifts")
            self.store(context, (codes << left) + (known << right))

    def instance(self) -> Instance:
        """`qfx_stream_known`."""
        kind, right = self.get_input_datatype(), DataType[self.get_nodeattr("knownDataType")]
        file, lanes = f"{self.get_verilog_top_module_name()}_known.mem", self.get_nodeattr("PE")
        left_shift, right_shift = self.get_nodeattr("shifts")
        parameters: dict[str, int | str] = {
            "PE": lanes,
            "BEATS": prod(self.get_normal_output_shape()) // lanes,
            "MULTIPLY": int(self.get_nodeattr("Function") == "Multiply"),
            "FILE": f'"{file}"',
            "LEFT_BITS": kind.bitwidth(),
            "LEFT_SIGNED": int(kind.signed()),
            "LEFT_SHIFT": left_shift,
            "RIGHT_BITS": right.bitwidth(),
            "RIGHT_SIGNED": int(right.signed()),
            "RIGHT_SHIFT": right_shift,
            "OUT_BITS": self.get_output_datatype().bitwidth(),
        }
        return Instance("qfx_stream_known", parameters, memories={file: self._words()})

    def _words(self) -> str:
        """Beats of the constant for `$readmemh`."""
        bits = DataType[self.get_nodeattr("knownDataType")].bitwidth()
        beats = (self.constant & ((1 << bits) - 1)).reshape(-1, self.get_nodeattr("PE"))
        words = [sum(code << lane * bits for lane, code in enumerate(b)) for b in beats.tolist()]
        return "".join(f"{word:x}\n" for word in words)
