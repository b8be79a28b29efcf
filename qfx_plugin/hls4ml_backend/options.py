"""What a user decides about an HLS project: by `convert`, a configuration, and a build alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from ..boards import load_board, zynq
from ..config import check_name, options, setting
from ..errors import OptionError
from ..ir import Conv, Graph
from .lowering.naming import check_project_name

DEFAULT_BOARD = "ultra96-v2"
LARGE_IMAGE = 256
"""Output pixels of a convolution above which arrays take minutes to compile (28x28: 34 s to 5)."""


@options
class HlsDesignOptions:
    """What the hardware of an HLS project is; the same for every door."""

    io_type: str = setting(
        "auto",
        "How layers are connected: io_parallel (arrays, everything at once), io_stream (FIFOs), or "
        "auto: streams where a convolution slides over a large image.",
        choices=("io_parallel", "io_stream", "auto"),
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
        above=0,
    )
    max_accumulator_bits: int | None = setting(
        None, "Refuse a network that needs a wider accumulator.", minimum=1
    )
    clock_uncertainty: str = setting(
        "27%", "Margin that HLS keeps for routing, in percent of the clock period or in ns."
    )


@options
class Options(HlsDesignOptions):
    """All that `convert` and `config_from_qonnx` take; a build knows the rest from its board."""

    board: str = setting(DEFAULT_BOARD, "Name of a board (see `qfx boards`): its part and clock.")
    part: str | None = setting(None, "FPGA part, instead of the board's.")
    clock_period: float | None = setting(
        None, "In nanoseconds. Without, that of the board's default clock.", above=0
    )
    project_name: str | None = setting(
        None, "C++ name of the top function; by default made from the model's content."
    )
    accept_inexact: bool = setting(
        False, "Convert although an override changes numbers; what changes is listed."
    )

    def __post_init__(self) -> None:
        if self.project_name is not None:
            check_project_name(self.project_name)

    def resolved(self, graph: Graph) -> Options:
        """The same options with "auto" and the clock decided for `graph`."""
        chosen = replace(self, clock_period=self.project()["ClockPeriod"])
        if self.io_type != "auto":
            return chosen
        types = graph.types()
        convolutions = [op for op in graph.ops if isinstance(op, Conv)]
        large = any(prod(types[op.output].shape[1:]) > LARGE_IMAGE for op in convolutions)
        return replace(chosen, io_type="io_stream" if large else "io_parallel")

    def project(self) -> dict[str, Any]:
        """The keys of an hls4ml configuration that describe the project."""
        settings: dict[str, Any] = {"IOType": self.io_type}
        settings["ClockUncertainty"] = self.clock_uncertainty
        if self.clock_period is not None:
            settings["ClockPeriod"] = self.clock_period
        return project_settings(self.board, self.part) | settings


def options_of(given: Mapping[str, Any], *others: str) -> Options:
    """Options by name.

    Args:
        given: name and value.
        others: keywords that the caller takes as well, for the message.

    Raises:
        OptionError: an option that does not exist, or has an impossible value.
    """
    for name in given:
        check_name(Options, name, "option", *others)
    return Options(**given)


def project_settings(board: str | None = None, part: str | None = None) -> dict[str, Any]:
    """Settings of a project that knows only its board."""
    chosen = zynq(load_board(board or DEFAULT_BOARD))
    return {
        "Part": part or chosen.part,
        "ClockPeriod": 1000.0 / chosen.clock.default_mhz,
        "ClockUncertainty": Options().clock_uncertainty,
        "IOType": "io_parallel",
    }


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of `choices`.

    Raises:
        OptionError: it is not.
    """
    if value not in choices:
        raise OptionError(f"{option} must be one of {', '.join(choices)}, not {value!r}")
