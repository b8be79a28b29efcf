"""`QFXRequant`: multiply-add, shift with any of the seven roundings, clip; per channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode

from ...errors import TargetError
from ..affine import Requant
from .elementwise import ElementwiseOp
from .rtl import Instance, RTLOp, packed

_ROUNDINGS = (
    RoundingMode.AP_TRN,
    RoundingMode.AP_TRN_ZERO,
    RoundingMode.AP_RND,
    RoundingMode.AP_RND_ZERO,
    RoundingMode.AP_RND_INF,
    RoundingMode.AP_RND_MIN_INF,
    RoundingMode.AP_RND_CONV,
)
"""In the order of the parameter `ROUNDING` of the SystemVerilog."""

_OVERFLOWS = {
    OverflowMode.AP_SAT: 0,
    OverflowMode.AP_SAT_SYM: 0,
    OverflowMode.AP_WRAP: 1,
    OverflowMode.AP_SAT_ZERO: 2,
}


class QFXRequant(ElementwiseOp):
    """`clip(cast((x * mult + offset) * 2**-shift), lows, highs)` on integers.

    A multiplier that is a power of two is wiring, so that a cast, also to more than 8 bits, costs a
    rounding and a comparison instead of thresholds.
    """

    def get_nodeattr_types(self) -> dict[str, Any]:
        """Constants per channel, in the order of the stream, and the cast."""
        attributes = super().get_nodeattr_types()
        attributes.update(
            {
                "mult": ("ints", True, []),
                "offset": ("ints", True, []),
                "lows": ("ints", True, []),
                "highs": ("ints", True, []),
                "shift": ("i", True, 0),
                "width": ("i", True, 0),
                "signedCast": ("i", True, 1, {0, 1}),
                "rounding": ("s", True, "", {mode.value for mode in RoundingMode}),
                "overflow": ("s", True, "", {mode.value for mode in OverflowMode}),
            }
        )
        return attributes

    @property
    def function(self) -> Requant:
        """The arithmetic."""
        columns = [
            np.asarray(self.get_nodeattr(name), dtype=np.int64)
            for name in ("mult", "offset", "lows", "highs")
        ]
        return Requant(
            columns[0],
            columns[1],
            self.get_nodeattr("shift"),
            self.get_nodeattr("width"),
            bool(self.get_nodeattr("signedCast")),
            RoundingMode(self.get_nodeattr("rounding")),
            OverflowMode(self.get_nodeattr("overflow")),
            columns[2],
            columns[3],
        )

    def sum_bits(self) -> int:
        """Bits of a signed word that holds every sum, constant and rounded result."""
        kind = self.get_input_datatype()
        ends = int(kind.min()), int(kind.max())
        columns = zip(self.get_nodeattr("mult"), self.get_nodeattr("offset"), strict=True)
        sums = [m * end + o for m, o in columns for end in ends]
        constants = [c for name in ("mult", "lows", "highs") for c in self.get_nodeattr(name)]
        largest = max(abs(value) for value in (*ends, *sums, *constants))
        return max(largest.bit_length() + 2, self.get_nodeattr("shift") + 2)

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        self.store(context, self.function(self.codes(context, 0)))


class QFXRequant_rtl(QFXRequant, RTLOp):  # noqa: N801  FINN's suffix
    """`QFXRequant` in SystemVerilog."""

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """In Python or as RTL simulation."""
        if not self.run_rtl(context, graph):
            QFXRequant.execute_node(self, context, graph)

    def instance(self) -> Instance:
        """`qfx_stream_requant` with its constants."""
        overflow = OverflowMode(self.get_nodeattr("overflow"))
        if overflow not in _OVERFLOWS:
            raise TargetError(f"{self.onnx_node.name}: {overflow} has no RTL: use AP_SAT")
        pe, channels = self.get_nodeattr("PE"), self.get_nodeattr("NumChannels")
        kind, bits = self.get_input_datatype(), self.sum_bits()
        parameters: dict[str, int | str] = {
            "PE": pe,
            "FOLD": channels // pe,
            "IN_BITS": kind.bitwidth(),
            "IN_SIGNED": int(kind.signed()),
            "OUT_BITS": self.get_output_datatype().bitwidth(),
            "SUM_BITS": bits,
            "SHIFT": self.get_nodeattr("shift"),
            "ROUNDING": _ROUNDINGS.index(RoundingMode(self.get_nodeattr("rounding"))),
            "OVERFLOW": _OVERFLOWS[overflow],
            "CAST_BITS": min(self.get_nodeattr("width"), bits),
            "CAST_SIGNED": self.get_nodeattr("signedCast"),
        }
        for name, attribute in (
            ("MULT", "mult"), ("OFFSET", "offset"), ("LOW", "lows"), ("HIGH", "highs"),
        ):  # fmt: skip
            parameters[name] = packed(list(self.get_nodeattr(attribute)), bits)
        return Instance("qfx_stream_requant", parameters)
