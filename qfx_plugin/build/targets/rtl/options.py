"""What a user decides about target `rtl`."""

from __future__ import annotations

from ....boards import Board
from ....config import options, setting
from ....rtl.options import RtlDesignOptions
from ...board_values import check_axis_width


@options
class RtlTargetOptions(RtlDesignOptions):
    """The options of this target."""

    allow_oversize: bool = setting(
        False,
        "Go on with a network that needs more than the board's device has. Without, it is refused, "
        "and the message says by how much, and which folding would fit.",
    )
    axis_width: int = setting(
        64,
        "Bits of one beat of the two streams; several codes travel in one beat. At most the width "
        "of the board's memory port.",
        choices=(32, 64, 128),
    )

    def check(self, board: Board) -> None:
        """The rule that concerns the board.

        Raises:
            OptionError: the streams are wider than its memory port.
        """
        check_axis_width(self.axis_width, board)
