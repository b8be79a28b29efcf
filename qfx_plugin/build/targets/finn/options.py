"""What a user decides about target `finn`."""

from __future__ import annotations

from ....boards import Board
from ....config import options, setting
from ....errors import OptionError
from ....finn_plugin.lowering.casts import MAX_THRESHOLD_BITS

BOARDS = {"ultra96-v2": "Ultra96-V2", "pynq-z2": "Pynq-Z2"}
"""FINN's names of our boards."""


@options
class FinnOptions:
    """The options of this target."""

    target_fps: float = setting(
        500.0,
        "Frames per second that every unit is folded for, with as little hardware as possible.",
        minimum=0.001,
    )
    max_threshold_bits: int = setting(
        MAX_THRESHOLD_BITS,
        "Widest activation that thresholds compute, where shifts are not enough; wider ones take a "
        "multiplication per channel.",
        minimum=1,
    )
    frames: int = setting(
        3,
        "How many of the samples are simulated in Verilog, unit by unit and whole. Two give the "
        "interval between frames, more a steadier one.",
        minimum=2,
    )

    def check(self, board: Board) -> None:
        """The rule that concerns the board.

        Raises:
            OptionError: FINN does not know it.
        """
        if board.name not in BOARDS:
            raise OptionError(
                f"board of target finn must be one of {', '.join(BOARDS)}, not {board.name!r}"
            )
