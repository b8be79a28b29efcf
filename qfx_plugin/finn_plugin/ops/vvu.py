"""`QFXVVU`: folded depthwise convolution; FINN's own exists in HLS only on UltraScale+."""

from __future__ import annotations

from typing import Any

from .elementwise import ElementwiseOp
from .mvu import QFXMVU, QFXMVU_rtl
from .rtl import Instance, RTLOp


class QFXVVU(QFXMVU):
    """`sum over taps of weight[channel, tap] * x[tap, channel] + bias`, PE channels at once.

    In Python execution the windows lie side by side, window elements first, as `Im2Col` makes
    them. In hardware a group of PE channels of all elements comes before the next group. MW is
    the number of taps.
    """

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, height, width, taps times channels)."""
        size = self.get_nodeattr("MW") * self.get_nodeattr("NumChannels")
        return (*self.get_nodeattr("numInputVectors"), size)

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """Groups of PE channels."""
        pe, shape = self.get_nodeattr("PE"), self.get_normal_input_shape()
        return (*shape[:-1], shape[-1] // pe, pe)

    def get_instream_width(self, ind: int = 0) -> int:
        """Bits per cycle that come in."""
        return ElementwiseOp.get_instream_width(self)

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        codes = self.codes(context, 0).reshape(-1, *self.matrix.T.shape)
        self.store(context, (codes * self.matrix.T).sum(axis=1) + self.start)


class QFXVVU_rtl(QFXVVU, QFXMVU_rtl):  # noqa: N801  FINN's suffix
    """`QFXVVU` in SystemVerilog."""

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """In Python or as RTL simulation, on the order of a simulated window in front."""
        if not RTLOp.run_rtl(self, context, graph):
            QFXVVU.execute_node(self, context, graph)

    def instance(self) -> Instance:
        """`qfx_mvu`, every row with x of its own."""
        return self.wrapped(DEPTHWISE="1'b1")
