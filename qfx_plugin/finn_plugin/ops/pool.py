"""`QFXPool` behind a sliding window and `QFXGlobalSum`; FINN's own exist in HLS only."""

from __future__ import annotations

from math import ceil, log2, prod
from typing import Any

from .elementwise import ElementwiseOp
from .rtl import Instance, operation
from .unit import Cost


@operation
class QFXPool(ElementwiseOp):
    """Maximum or sum over windows that a depthwise sliding window unit streams.

    In Python execution the windows lie side by side, window elements first, as `Im2Col` makes
    them. In hardware a group of PE channels of all elements comes before the next group: the
    simulated sliding window in front leaves its windows in that order already.
    """

    takes_windows = True

    attributes = {"Taps": ("i", True, 0), "Function": ("s", True, "", {"MaxPool", "SumPool"})}
    """Kind and size of the window."""

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, height, width, elements times channels)."""
        taps, channels = self.get_nodeattr("Taps"), self.get_nodeattr("NumChannels")
        return (*self.get_nodeattr("numInputVectors"), taps * channels)

    def cost(self) -> Cost:
        """Bits of the result of all lanes, the counter."""
        return Cost([float(self.get_outstream_width()), log2(self.get_nodeattr("Taps")), 1.0])

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        codes = self.codes(context, 0)
        taps = codes.reshape(*codes.shape[:-1], self.get_nodeattr("Taps"), -1)
        is_sum = self.get_nodeattr("Function") == "SumPool"
        self.store(context, taps.sum(axis=-2) if is_sum else taps.max(axis=-2))

    def instance(self) -> Instance:
        """`qfx_stream_reduce` of one window after the other."""
        kind = self.get_input_datatype()
        parameters: dict[str, int | str] = {
            "PE": self.get_nodeattr("PE"),
            "TAPS": self.get_nodeattr("Taps"),
            "SUM": int(self.get_nodeattr("Function") == "SumPool"),
            "IN_BITS": kind.bitwidth(),
            "IN_SIGNED": int(kind.signed()),
            "OUT_BITS": self.get_output_datatype().bitwidth(),
        }
        return Instance("qfx_stream_reduce", parameters)


@operation
class QFXGlobalSum(ElementwiseOp):
    """Sum over all pixels, channel by channel."""

    def get_normal_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, 1, 1, channels)."""
        batch = self.get_nodeattr("numInputVectors")[0]
        return (batch, 1, 1, self.get_nodeattr("NumChannels"))

    def cost(self) -> Cost:
        """Bits of the sums of one beat, and of all beats in memory; the counters."""
        folds = self.get_nodeattr("NumChannels") // self.get_nodeattr("PE")
        width = self.get_outstream_width()
        pixels = prod(self.get_nodeattr("numInputVectors"))
        kept = width * ceil(folds / 32) if folds > 1 else 0
        return Cost([float(width), float(kept), log2(folds * pixels), 1.0])

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        self.store(context, self.codes(context, 0).sum(axis=(1, 2)))

    def instance(self) -> Instance:
        """`qfx_stream_reduce` of all pixels."""
        kind, pe = self.get_input_datatype(), self.get_nodeattr("PE")
        parameters: dict[str, int | str] = {
            "PE": pe,
            "FOLD": self.get_nodeattr("NumChannels") // pe,
            "TAPS": prod(self.get_nodeattr("numInputVectors")[1:]),
            "SUM": 1,
            "IN_BITS": kind.bitwidth(),
            "IN_SIGNED": int(kind.signed()),
            "OUT_BITS": self.get_output_datatype().bitwidth(),
        }
        return Instance("qfx_stream_reduce", parameters)
