"""Target `finn`: a FINN dataflow of RTL units, simulated whole, with its Vivado project."""

from __future__ import annotations

from ....ir import Graph
from ...model_steps import IMPORT
from ...steps import Step
from . import convert, design, handover, vendor
from .options import FinnOptions

ABOUT = "FINN dataflow of RTL units, folded for a frame rate, with its Zynq project"

OPTIONS = FinnOptions


def _lower(graph: Graph) -> object:
    from ....finn_plugin import lower

    return lower(graph)


TAKES = {"FINN": _lower}
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
        version=3,
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
