"""`QFXVVU`: folded depthwise convolution; FINN's own exists in HLS only on UltraScale+."""

from __future__ import annotations

from typing import Any

from .mvu import QFXMVU
from .rtl import Instance, operation
from .unit import Foldings, by_lanes


@operation
class QFXVVU(QFXMVU):
    """`sum over taps of weight[channel, tap] * x[tap, channel] + bias`, PE channels at once.

    In Python execution the windows lie side by side, window elements first, as `Im2Col` makes
    them. In hardware a group of PE channels of all elements comes before the next group. MW is
    the number of taps.
    """

    input_lanes = "PE"
    takes_windows = True
    weighted_as = "QFXMVU"

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, height, width, taps times channels)."""
        size = self.get_nodeattr("MW") * self.get_nodeattr("NumChannels")
        return (*self.get_nodeattr("numInputVectors"), size)

    @property
    def multipliers(self) -> int:
        """None are moved into slices: so few are better in LUTs."""
        return 0

    def foldings(self) -> Foldings:
        """PE divides the channels."""
        return by_lanes("PE", self.get_nodeattr("NumChannels"))

    def kept_beat(self) -> int:
        """Each element comes once."""
        return 0

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        codes = self.codes(context, 0).reshape(-1, *self.matrix.T.shape)
        self.store(context, (codes * self.matrix.T).sum(axis=1) + self.start)

    def instance(self) -> Instance:
        """`qfx_mvu`, every row with x of its own."""
        return self.wrapped(DEPTHWISE="1'b1")
