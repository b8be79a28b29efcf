"""`QFXAdd`: sum or extreme of two streams after shifts that align their binary points."""

from __future__ import annotations

from typing import Any

import numpy as np
from qonnx.core.datatype import BaseDataType, DataType

from .elementwise import ElementwiseOp
from .rtl import Instance, operation
from .unit import Cost

FUNCTIONS = {"Sum": np.add, "Maximum": np.maximum, "Minimum": np.minimum}
"""By the number that the unit has for each."""


@operation
class QFXAdd(ElementwiseOp):
    """`(left << shifts[0]) + (right << shifts[1])`, or the larger or lesser; shifts are wiring."""

    attributes = {
        "shifts": ("ints", True, []),
        "rhsDataType": ("s", True, ""),
        "Function": ("s", False, "Sum", set(FUNCTIONS)),
        "inFIFODepths": ("ints", False, [2, 2]),
    }
    """The shifts, and the type of the second stream."""

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        """Type of a stream that comes in."""
        return DataType[self.get_nodeattr("rhsDataType" if ind else "inputDataType")]

    def cost(self) -> Cost:
        """Bits that both operands have, behind their shifts; above them only the carry goes on."""
        kinds = [self.get_input_datatype(side) for side in (0, 1)]
        shifts, out = self.get_nodeattr("shifts"), self.get_output_datatype().bitwidth()
        ends = [
            min(kind.bitwidth() + shift, out) if not kind.signed() else out
            for kind, shift in zip(kinds, shifts, strict=True)
        ]
        chosen = 1 + (self.get_nodeattr("Function") != "Sum")  # a comparison, and a choice
        bits = self.get_nodeattr("PE") * max(min(ends) - max(shifts), 0)
        return Cost([float(chosen * bits), 1.0])

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        left, right = self.get_nodeattr("shifts")
        function = FUNCTIONS[self.get_nodeattr("Function")]
        sides = self.codes(context, 0) << left, self.codes(context, 1) << right
        self.store(context, function(*sides))

    def instance(self) -> Instance:
        """`qfx_stream_add`."""
        shifts = self.get_nodeattr("shifts")
        parameters: dict[str, int | str] = {"PE": self.get_nodeattr("PE")}
        for index, side in enumerate(("LEFT", "RIGHT")):
            kind = self.get_input_datatype(index)
            parameters[f"{side}_BITS"] = kind.bitwidth()
            parameters[f"{side}_SIGNED"] = int(kind.signed())
            parameters[f"{side}_SHIFT"] = int(shifts[index])
        function = self.get_nodeattr("Function")
        if function != "Sum":
            parameters["FUNCTION"] = list(FUNCTIONS).index(function)
        parameters["OUT_BITS"] = self.get_output_datatype().bitwidth()
        return Instance("qfx_stream_add", parameters, inputs=("left_", "right_"))
