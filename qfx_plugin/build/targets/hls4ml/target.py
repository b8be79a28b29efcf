"""Target `hls4ml`: an HLS project with an AXI-Stream shell, ready for Vitis HLS and Vivado."""

from __future__ import annotations

from dataclasses import dataclass

from ....boards import Board
from ....config import setting
from ...board_values import check_axis_width
from ...model_steps import IMPORT
from ...steps import Step
from . import handover, project, shell, vendor

ABOUT = "HLS C++ by hls4ml, with an AXI-Stream shell and a block design"


@dataclass(frozen=True)
class Hls4mlOptions:
    """The options of this target."""

    io_type: str = setting(
        "auto",
        "How layers are connected: io_parallel (arrays, everything at once), io_stream (FIFOs), or "
        "auto: streams where a convolution slides over a large image.",
        choices=("auto", "io_parallel", "io_stream"),
    )
    strategy: str = setting(
        "auto",
        "How multiplications by constants become hardware: latency (all at once), resource "
        "(multipliers shared over reuse_factor cycles), khot (shifters, shared or not), da (one "
        "adder graph), or auto: for each layer what needs the fewest estimated LUTs.",
        choices=("auto", "latency", "resource", "khot", "da"),
    )
    reuse_factor: int = setting(
        1,
        "How often one multiplier or shifter is used per result. A factor "
        "that does not divide a layer's work is moved to the nearest that does.",
        minimum=1,
    )
    target_rate: float | None = setting(
        None,
        "Samples per second: each layer gets the largest reuse factor that keeps this rate, "
        "instead of reuse_factor.",
        minimum=0,
    )
    max_accumulator_bits: int | None = setting(
        None, "Refuse a network that needs a wider accumulator.", minimum=1
    )
    clock_uncertainty: str = setting(
        "27%", "Margin that HLS keeps for routing, in percent of the clock period or in ns."
    )
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


OPTIONS = Hls4mlOptions
_PROJECT = (
    "io_type",
    "strategy",
    "reuse_factor",
    "target_rate",
    "max_accumulator_bits",
    "clock_uncertainty",
    "clock_mhz",
    "board",
)

STEPS = (
    IMPORT,
    Step(
        "convert",
        "write the HLS project for the board's part and clock",
        project.convert,
        needs=("hls4ml",),
        options=_PROJECT,
        after=(),
    ),
    Step(
        "simulate",
        "hls4ml's C simulation against the interpreter, code by code",
        project.simulate,
        needs=("hls4ml", "c++"),
        options=_PROJECT,
    ),
    Step(
        "shell",
        "AXI-Stream top and test bench; simulated through the streams and by the driver",
        shell.run,
        needs=("c++",),
        options=("interface", "axis_width", "board", "clock_mhz"),
        version=2,
    ),
    Step(
        "estimate",
        "multiplications, weight memory and cycles, layer by layer",
        project.estimate,
        options=("clock_mhz",),
        version=2,
    ),
    Step(
        "handover",
        "Tcl for Vitis HLS and Vivado, constraints, overlay; all of it checked",
        handover.run,
        needs=("tcl",),
        options=("board", "clock_mhz", "clock_uncertainty", "axis_width", "cosim"),
        version=2,
    ),
    Step(
        "synthesize",
        "Vitis HLS: C simulation, synthesis, IP for Vivado",
        vendor.synthesize,
        needs=("vitis",),
        by_vendor=True,
    ),
    Step(
        "bitstream",
        "Vivado: block design, place and route, bitstream",
        vendor.bitstream,
        needs=("vivado",),
        by_vendor=True,
    ),
)
"""The steps in order."""
