"""What a user decides about target `hls4ml`."""

from __future__ import annotations

from ....boards import Board
from ....config import options, setting
from ....hls4ml_backend.options import HlsDesignOptions
from ...board_values import check_axis_width


@options
class Hls4mlOptions(HlsDesignOptions):
    """The options of this target."""

    interface: str = setting(
        "codes",
        "What travels over AXI-Stream: codes (integers, the narrowest of 8, 16, 32 and 64 bits "
        "that holds one) or float (32-bit, cast in the logic as the model's first Quant does).",
        choices=("codes", "float"),
    )
    cosim: bool = setting(
        False,
        "Vitis HLS also simulates its Verilog, on transfers of one sample and of two: their "
        "cycles, latency and interval, go into the report. It takes minutes to hours.",
    )
    axis_width: int = setting(
        64,
        "Bits of one beat of the two streams; several values travel in one beat. At most the width "
        "of the board's memory port.",
        choices=(32, 64, 128),
    )

    def check(self, board: Board) -> None:
        """The rules that concern the board.

        Raises:
            OptionError: the streams are wider than its memory port.
        """
        check_axis_width(self.axis_width, board)
