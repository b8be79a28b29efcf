"""`QFXPool` behind a sliding window and `QFXGlobalSum`; FINN's own exist in HLS only."""

from __future__ import annotations

from math import prod
from typing import Any

from .elementwise import ElementwiseOp
from .rtl import Instance, RTLOp


class QFXPool(ElementwiseOp):
    """Maximum or sum over windows that a depthwise sliding window unit streams.

    In Python execution the windows lie side by side, window elements first, as `Im2Col` makes
    them. In hardware a group of PE channels of all elements comes before the next group.
    """

    def get_nodeattr_types(self) -> dict[str, Any]:
        """Kind and size of the window."""
        attributes = super().get_nodeattr_types()
        attributes.update(
            {"Taps": ("i", True, 0), "Function": ("s", True, "", {"MaxPool", "SumPool"})}
        )
        return attributes

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, height, width, elements times channels)."""
        taps, channels = self.get_nodeattr("Taps"), self.get_nodeattr("NumChannels")
        return (*self.get_nodeattr("numInputVectors"), taps * channels)

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """Groups of PE channels."""
        pe = self.get_nodeattr("PE")
        shape = self.get_normal_input_shape()
        return (*shape[:-1], shape[-1] // pe, pe)

    def get_normal_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, height, width, channels)."""
        return ElementwiseOp.get_normal_input_shape(self)

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """Groups of PE channels."""
        return ElementwiseOp.get_folded_input_shape(self)

    def get_exp_cycles(self) -> int:
        """One group of PE channels of one element per cycle."""
        return prod(self.get_folded_input_shape()[:-1])

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        codes = self.codes(context, 0)
        taps = codes.reshape(*codes.shape[:-1], self.get_nodeattr("Taps"), -1)
        is_sum = self.get_nodeattr("Function") == "SumPool"
        self.store(context, taps.sum(axis=-2) if is_sum else taps.max(axis=-2))


class QFXPool_rtl(QFXPool, RTLOp):  # noqa: N801  FINN's suffix
    """`QFXPool` in SystemVerilog."""

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """In Python or as RTL simulation.

        The simulated sliding window in front leaves its windows in the hardware's order already.
        """
        if not self.run_rtl(context, graph):
            QFXPool.execute_node(self, context, graph)

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


class QFXGlobalSum(ElementwiseOp):
    """Sum over all pixels, channel by channel."""

    def get_normal_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, 1, 1, channels)."""
        batch = self.get_nodeattr("numInputVectors")[0]
        return (batch, 1, 1, self.get_nodeattr("NumChannels"))

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """Groups of PE channels."""
        pe = self.get_nodeattr("PE")
        shape = self.get_normal_output_shape()
        return (*shape[:-1], shape[-1] // pe, pe)

    def get_exp_cycles(self) -> int:
        """One group of PE channels of one pixel per cycle."""
        return prod(self.get_folded_input_shape()[:-1])

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        self.store(context, self.codes(context, 0).sum(axis=(1, 2)))


class QFXGlobalSum_rtl(QFXGlobalSum, RTLOp):  # noqa: N801  FINN's suffix
    """`QFXGlobalSum` in SystemVerilog."""

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """In Python or as RTL simulation."""
        if not self.run_rtl(context, graph):
            QFXGlobalSum.execute_node(self, context, graph)

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
