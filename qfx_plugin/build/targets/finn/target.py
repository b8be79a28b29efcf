"""Target `finn`: a FINN dataflow of RTL units, simulated whole, with its Vivado project."""

from __future__ import annotations

from dataclasses import dataclass

from ....boards import Board
from ....config import setting
from ....errors import OptionError
from ...model_steps import IMPORT
from ...steps import Step
from . import convert, design, handover, vendor

ABOUT = "FINN dataflow of RTL units, folded for a frame rate, with its Zynq project"

BOARDS = {"ultra96-v2": "Ultra96-V2", "pynq-z2": "Pynq-Z2"}
"""FINN's names of our boards."""


@dataclass(frozen=True)
class FinnOptions:
    """The options of this target."""

    target_fps: float = setting(
        500.0,
        "Frames per second that every unit is folded for, with as little hardware as possible.",
        minimum=0.001,
    )
    max_threshold_bits: int = setting(
        8,
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


OPTIONS = FinnOptions
_FOLDED = ("target_fps", "max_threshold_bits", "clock_mhz", "board")

STEPS = (
    IMPORT,
    Step(
        "convert",
        "integer dataflow, then FINN's units; FINN's execution against the interpreter",
        convert.run,
        needs=("finn",),
        options=("max_threshold_bits", "board"),
        after=("import",),
    ),
    Step(
        "fold",
        "parallelism for the frame rate, estimates against the board",
        design.fold,
        needs=("finn",),
        options=_FOLDED,
    ),
    Step(
        "units",
        "every unit's Verilog, simulated one by one",
        design.units,
        needs=("finn", "verilator", "c++"),
        options=(*_FOLDED, "frames"),
    ),
    Step(
        "stitch",
        "all units with FIFOs, sized by simulation; codes and cycles of several frames",
        design.stitch,
        needs=("finn", "verilator", "c++"),
        options=(*_FOLDED, "frames"),
    ),
    Step(
        "handover",
        "FINN's Tcl for Vitis HLS and Vivado, sources and driver; all of it checked",
        handover.run,
        needs=("finn", "tcl"),
        options=_FOLDED,
        version=2,
    ),
    Step(
        "bitstream",
        "Vitis HLS and Vivado: DMA engines, block design, bitstream",
        vendor.bitstream,
        needs=("vitis", "vivado"),
        by_vendor=True,
    ),
)
"""The steps in order."""
