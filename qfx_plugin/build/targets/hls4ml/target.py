"""Target `hls4ml`: an HLS project with an AXI-Stream shell, ready for Vitis HLS and Vivado."""

from __future__ import annotations

from functools import partial

from ....ir import Graph
from ...model_steps import IMPORT
from ...steps import Step
from . import handover, project, shell, vendor
from .options import Hls4mlOptions

ABOUT = "HLS C++ by hls4ml, with an AXI-Stream shell and a block design"


OPTIONS = Hls4mlOptions


def _lower(io_type: str, graph: Graph) -> object:
    from ....hls4ml_backend import lower

    return lower(graph, io_type=io_type)


TAKES = {
    "hls4ml, arrays": partial(_lower, "io_parallel"),
    "hls4ml, streams": partial(_lower, "io_stream"),
}
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
        version=3,
    ),
    Step(
        "synthesise",
        "Vitis HLS: C simulation, synthesis, IP for Vivado",
        vendor.synthesise,
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
