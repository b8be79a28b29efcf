"""What a user decides about target `rtl`."""

from __future__ import annotations

import re

from ....boards import Board, ZynqBoard
from ....config import options, setting
from ....errors import OptionError
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
    link: str = setting(
        "scan",
        "Boards without a processor: what is between the serial port and the network. scan: a "
        "chain of flip-flops without protocol, which leaves the clock to the network; its netlist "
        "is simulated. uart: an accelerator that the driver speaks to.",
        choices=("scan", "uart"),
    )
    baud: int = setting(
        115200, "Boards without a processor: bits a second of link uart.", minimum=1
    )
    seeds: str = setting(
        "1",
        "Boards without a processor: seeds of place and route, with spaces between them; the "
        "fastest result is kept.",
    )
    adders_search: str = setting(
        "",
        "Boards without a processor: numbers of adders_per_stage to try up to their routed clock, "
        "with spaces between them. The one with the fewest flip-flops that reaches clock_mhz is "
        "taken, or the fastest.",
    )
    netlist_samples: int = setting(
        64,
        "Boards without a processor: how many inputs go through the simulated netlist of the whole "
        "design, cell by cell, and are compared; 0 for none. Large designs take minutes.",
        minimum=0,
    )
    route_seconds: float = setting(
        3600.0,
        "Boards without a processor: most that synthesis, and place and route with one seed, may "
        "take, in seconds.",
        above=0,
    )
    route_gb: float = setting(
        4.0, "Boards without a processor: most memory of each of them, in GB.", above=0
    )

    @property
    def search_numbers(self) -> tuple[float, ...]:
        """What is tried of `adders_per_stage`, each once.

        Raises:
            OptionError: something is no number, or below 1.
        """
        words = self.adders_search.replace(",", " ").split()
        if not all(re.fullmatch(r"\d+(\.\d+)?", word) and float(word) >= 1 for word in words):
            raise OptionError(
                f"adders_search must be numbers of at least 1, as '4 2 1', not "
                f"{self.adders_search!r}"
            )
        return tuple(dict.fromkeys(map(float, words)))

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds, each once.

        Raises:
            OptionError: they are no numbers, or there is none.
        """
        words = self.seeds.replace(",", " ").split()
        if not words or not all(word.isdecimal() for word in words):
            raise OptionError(f"seeds must be whole numbers, as '1 2 3', not {self.seeds!r}")
        return tuple(dict.fromkeys(map(int, words)))

    def check(self, board: Board) -> None:
        """The rules that concern the board.

        Raises:
            OptionError: the streams are wider than its memory port, or a list of numbers is
                none.
        """
        if isinstance(board, ZynqBoard):
            check_axis_width(self.axis_width, board)
        else:
            _ = self.seed_numbers, self.search_numbers
