"""Target `rtl`: Verilog by open tools. What follows depends on the board.

With a processor: an AXI shell and a driver, and Vivado for the bitstream only. Without one: the
whole way to the bitstream by open tools.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ....boards.board import FAMILIES as ALL
from ....boards.board import OPEN, ZYNQ
from ....errors import TargetError, VerificationError
from ....ir import Graph
from ....rtl.options import RtlDesignOptions, RtlOptions
from ...compare import Comparison
from ...implement import implement
from ...inputs import count_of, load_inputs, part_of
from ...model_steps import IMPORT
from ...steps import Facts, Step, StepContext
from .options import RtlTargetOptions

ABOUT = "Verilog from adder graphs and folded units, with an AXI shell and a driver"

CHUNK = 256


OPTIONS = RtlTargetOptions
FAMILIES = ALL


def _build(style: str, graph: Graph) -> object:
    from ....rtl.project import build_network

    return build_network(graph, RtlOptions(style=style))


TAKES = {
    "RTL, unrolled": partial(_build, "unrolled"),
    "RTL, streaming": partial(_build, "streaming"),
}
_DESIGN = ("style", "adders_per_stage", "effort", "fold_above", "fold", "states")


def verilog(context: StepContext) -> Facts:
    """Write sources, memories, test bench and report.

    Raises:
        TargetError: the network is too large for the board's device.
    """
    from ....rtl.project import compile_rtl
    from ....rtl.stream.fit import check_fit, fit_report

    samples = min(context.options.samples, 64)
    network = compile_rtl(
        context.model,
        context.folder,
        options=_rtl_options(context),
        samples=samples,
        board=context.board,
    )
    context.log.info("%s, %s: %d files", network.name, network.style, len(network.files))
    fit = fit_report(network, context.board)
    if not context.options.settings.allow_oversize:
        check_fit(fit, network.graph.name)
    if "advice" in fit:
        context.log.warning("%s", fit["advice"])
    return {
        "fit": fit,
        "top": network.name,
        "style": network.style,
        "interval": network.interval,
        "latency": network.latency,
        **network.facts,
    }


def simulate(context: StepContext) -> Facts:
    """Compare the simulated Verilog with the interpreter's codes.

    Raises:
        VerificationError: a code differs.
    """
    from ....qonnx_import import load_qonnx
    from ....rtl.project import build_network
    from ....rtl.recurrent import RecurrentNetwork

    network = build_network(load_qonnx(context.model), _rtl_options(context), context.board)
    _same_sources(context, network.files)
    source = context.input("import")
    inputs = load_inputs(source)
    if isinstance(network, RecurrentNetwork):
        return {"agreement": [_simulate_steps(context, network, inputs)]}
    samples = count_of(inputs)
    names = network.graph.outputs
    expected = {name: np.load(source / f"expected_{i}.npy") for i, name in enumerate(names)}
    context.progress(0, samples, "compiling")
    comparison = Comparison("RTL simulation", context.log)
    for start in range(0, samples, CHUNK):
        part = slice(start, start + CHUNK)
        found = network.run(part_of(inputs, part), **_pauses(network.style))
        codes = {name: tensor.codes for name, tensor in found.items()}
        comparison.add_codes(codes, {name: wanted[part] for name, wanted in expected.items()})
        context.progress(min(start + CHUNK, samples), samples, "samples")
    entry = _stored(context, comparison)
    return {"agreement": [entry], **_measured_pace(context, network, inputs)}


def _stored(context: StepContext, comparison: Comparison) -> Any:
    """What was compared, as it is reported, and as a file."""
    entry = comparison.entry()
    (context.folder / "simulation.json").write_text(json.dumps(entry, indent=2) + "\n")
    return entry


def _simulate_steps(context: StepContext, network: Any, inputs: Any) -> Any:
    """Samples that follow each other are the steps of sequences, each from a state of zero."""
    sequences = network.sequences(inputs)
    found, expected = network.run(sequences, **_pauses("streaming")), network.expected(sequences)
    comparison = Comparison("RTL simulation of sequences", context.log)
    comparison.add_codes(*(
        {name: tensor.codes.reshape(-1, *tensor.codes.shape[2:]) for name, tensor in part.items()}
        for part in (found, expected)
    ))  # fmt: skip
    return _stored(context, comparison)


def _measured_pace(context: StepContext, network: Any, inputs: Any) -> Facts:
    """Cycles from sample to sample of a streaming network, without pauses."""
    from ....rtl.network import SETTLING

    if network.style != "streaming" or count_of(inputs) < 2 * SETTLING:
        return {}
    measured = network.measured_interval(part_of(inputs, slice(4 * SETTLING)))
    note = context.log.info if measured == network.interval else context.log.warning
    note("%s cycles from sample to sample, %s as designed", measured, network.interval)
    return {"interval_simulated": measured}


def synthesise(context: StepContext) -> Facts:
    """Estimate the design's resources unit by unit, and compare them with the board's device.

    Raises:
        TargetError: the device has too little of something.
    """
    from ....synthesis.estimate import FAMILIES as NAMES
    from ....synthesis.network import estimate_folder

    folder = context.input("verilog") / "rtl"
    facts = context.facts("verilog")
    board = context.board
    total, parts = estimate_folder(
        folder, facts["top"], facts.get("units", []), family=NAMES[board.family]
    )
    (context.folder / "resources.json").write_text(
        json.dumps(_without_times(total.to_dict()), indent=2) + "\n", encoding="utf-8"
    )
    exceeds = total.exceeds(board)
    for line in exceeds:
        context.log.warning("%s", line)
    if exceeds and not context.options.settings.allow_oversize:
        raise TargetError(f"{'; '.join(exceeds)}: {_advice(context)}")
    used = total.used(board)
    return {
        "resources": {
            "source": "Yosys estimate",
            "tool": total.tool,
            "device": board.part,
            "used": {kind: need for kind, (need, _) in used.items()},
            "available": {kind: there for kind, (_, there) in used.items()},
            "depth": total.depth,
            "units": {part.top: asdict(part.total) for part in parts},
            "exceeds": exceeds,
        }
    }


def _advice(context: StepContext) -> str:
    from ....qonnx_import import load_qonnx
    from ....rtl.stream.fit import advice

    return advice(load_qonnx(context.model), context.board)


def search(context: StepContext) -> Facts:
    """Try numbers of adders between registers, where that is asked for."""
    from .search import run

    return run(context, _rtl_options(context))


def _rtl_options(context: StepContext) -> RtlOptions:
    settings = context.options.settings
    given = {one.name: getattr(settings, one.name) for one in fields(RtlDesignOptions)}
    found = context.known.get("search", {}).get("adders_per_stage")
    return RtlOptions(**given | ({"adders_per_stage": found} if found else {}))


def _pauses(style: str) -> dict[str, Any]:
    """Streams are simulated with pauses on both sides."""
    return {"idle": 0.2, "backpressure": 0.2} if style == "streaming" else {}


def _same_sources(context: StepContext, files: Any) -> None:
    """What is simulated must be what was written."""
    folder: Path = context.input("verilog") / "rtl"
    for name, text in files.items():
        if (folder / name).read_text(encoding="utf-8") != text:
            raise VerificationError(f"rtl/{name} is not what this version would write; build anew")


def _without_times(table: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in ("seconds", "peak_gb")}


def _late(name: str, function: str = "run") -> Callable[[StepContext], Facts]:
    """A function of a module beside this one, imported when it is called."""

    def run(context: StepContext) -> Facts:
        module = import_module(f".{name}", __package__)
        facts: Facts = getattr(module, function)(context)
        return facts

    return run


STEPS = (
    IMPORT,
    Step(
        "search",
        "adders_per_stage by trial, up to routed clocks, where adders_search asks for it",
        search,
        needs=("alkaid", "yosys"),
        options=(*_DESIGN, "adders_search", "seeds", "board", "clock_mhz"),
        after=(),
        families=OPEN,
    ),
    Step(
        "verilog",
        "write Verilog, memories, a test bench that checks itself, and a report",
        verilog,
        needs=("alkaid",),
        options=(*_DESIGN, "allow_oversize", "board", "samples"),
        after=("search",),
    ),
    Step(
        "simulate",
        "RTL simulation against the interpreter, code by code; streams with pauses",
        simulate,
        needs=("alkaid", "verilator", "c++"),
        options=_DESIGN,
    ),
    Step(
        "synthesise",
        "LUT, FF, carry, DSP and BRAM, estimated by Yosys, against the board's device",
        synthesise,
        needs=("yosys",),
        options=(*_DESIGN, "allow_oversize", "board"),
        families=ZYNQ,
    ),
    Step(
        "shell",
        "AXI shell and driver; the driver runs against the simulated shell, code by code",
        _late("shell"),
        needs=("verilator", "c++"),
        options=("axis_width", "board", "clock_mhz", "seed"),
        after=("import", "verilog"),
        version=2,
        families=ZYNQ,
    ),
    Step(
        "handover",
        "block design for Vivado, constraints, overlay with driver; all of it checked",
        _late("handover"),
        needs=("tcl", "verilator"),
        options=("axis_width", "board", "clock_mhz", "samples"),
        after=("import", "verilog", "shell"),
        version=3,
        families=ZYNQ,
    ),
    Step(
        "bitstream",
        "Vivado: block design, place and route, bitstream",
        implement,
        needs=("vivado",),
        by_vendor=True,
        families=ZYNQ,
    ),
    Step(
        "synthesise",
        "a top with clock, reset and pins around the network; all of it mapped by Yosys",
        _late("open", "synthesise"),
        needs=("yosys",),
        options=("allow_oversize", "baud", "board", "clock_mhz", "link"),
        after=("verilog",),
        families=OPEN,
    ),
    Step(
        "netlist",
        "simulation of what was mapped, cell by cell, from pin to pin, against the interpreter",
        _late("open", "netlist"),
        needs=("yosys", "verilator", "c++"),
        options=("board", "link", "netlist_samples", "samples"),
        after=("import", "verilog", "synthesise"),
        families=OPEN,
    ),
    *(
        step
        for family in OPEN
        for step in (
            Step(
                "place_route",
                "nextpnr: place and route with every seed, the fastest kept; clock met or refused",
                _late("open", "place_route"),
                needs=(f"nextpnr-{family}",),
                options=("board", "link", "seeds"),
                after=("verilog", "synthesise"),
                families=(family,),
            ),
            Step(
                "bitstream",
                "the bitstream, and how to load it",
                _late("open", "bitstream"),
                needs=(f"nextpnr-{family}",),
                options=("board",),
                after=("verilog", "place_route"),
                families=(family,),
            ),
        )
    ),
)
"""The steps in order; those of a board are the ones of its family."""
