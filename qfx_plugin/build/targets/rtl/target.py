"""Target `rtl`: Verilog by open tools, an AXI shell and a driver; Vivado for the bitstream only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ....boards import Board
from ....config import setting
from ....errors import OptionError, TargetError, VerificationError
from ...board_values import check_axis_width
from ...compare import Comparison
from ...implement import implement
from ...inputs import count_of, load_inputs, part_of
from ...model_steps import IMPORT
from ...steps import Facts, Step, StepContext

ABOUT = "Verilog from adder graphs and folded units, with an AXI shell and a driver"

CHUNK = 256


@dataclass(frozen=True)
class RtlTargetOptions:
    """The options of this target."""

    style: str = setting(
        "auto",
        "How the network is laid out. unrolled: one adder graph, a sample in every cycle. "
        "streaming: layer after layer with AXI-Stream between them, a position in every cycle. "
        "auto: unrolled if it is small.",
        choices=("auto", "unrolled", "streaming"),
    )
    adders_per_stage: int = setting(
        4, "Longest chain of additions between two registers of an adder graph.", minimum=1
    )
    effort: int = setting(
        2,
        "How many levels of additions a layer may grow in order to save additions; -1 for no "
        "limit, 0 for the shortest chains.",
        minimum=-1,
    )
    fold_above: int = setting(
        5000,
        "Streaming: layers with more weights than this share hardware over time in a folded unit; "
        "and smaller ones, if the design would not fit the board's device.",
        minimum=0,
    )
    fold: str = setting(
        "",
        "Layers that share hardware over time, by node name, with outputs x inputs at once: "
        "'fc1=4x8, fc2=2x16'. The network streams then.",
    )
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
        """The rules that concern the board or several values.

        Raises:
            OptionError: the streams are wider than its memory port, or `fold` cannot be read.
        """
        check_axis_width(self.axis_width, board)
        parse_fold(self.fold)


OPTIONS = RtlTargetOptions
_DESIGN = ("style", "adders_per_stage", "effort", "fold_above", "fold")


def parse_fold(text: str) -> dict[str, tuple[int, int]]:
    """(pe, simd) by layer, from `fc1=4x8, fc2=2x16`; a name may hold anything but such an end.

    Raises:
        OptionError: the text has another form, a number is 0, or a name comes twice.
    """
    rest, result = text.strip(), {}
    while rest:
        found = re.match(r"(.+?)=([1-9]\d{0,5})x([1-9]\d{0,5})(?:,\s*|$)", rest)
        if found is None or found[1] in result:
            raise OptionError(f"fold must be NAME=PExSIMD, NAME=PExSIMD, ..., not {text!r}")
        result[found[1]] = (int(found[2]), int(found[3]))
        rest = rest[found.end() :]
    return result


def verilog(context: StepContext) -> Facts:
    """Write sources, memories, test bench and report.

    Raises:
        TargetError: the network is too large for the board's device.
    """
    from ....rtl.project import compile_rtl
    from ....rtl.stream.fit import check_fit, fit_report
    from ....synthesis.budget import Budget

    samples = min(context.options.samples, 64)
    budget = Budget.of_board(context.board)
    network = compile_rtl(
        context.model,
        context.folder,
        options=_rtl_options(context),
        samples=samples,
        budget=budget,
    )
    context.log.info("%s, %s: %d files", network.name, network.style, len(network.files))
    fit = fit_report(network, budget)
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
    from ....synthesis.budget import Budget

    budget = Budget.of_board(context.board)
    network = build_network(load_qonnx(context.model), _rtl_options(context), budget)
    _same_sources(context, network.files)
    source = context.input("import")
    inputs = load_inputs(source)
    samples = count_of(inputs)
    names = network.graph.outputs
    expected = {name: np.load(source / f"expected_{i}.npy") for i, name in enumerate(names)}
    context.progress(0, samples, "compiling")
    comparison = Comparison("RTL simulation", context.log)
    for start in range(0, samples, CHUNK):
        part = slice(start, start + CHUNK)
        found = network.run(part_of(inputs, part), **_pauses(network.style))
        codes = {name: tensor.codes for name, tensor in found.items()}
        comparison.add(codes, {name: wanted[part] for name, wanted in expected.items()})
        context.progress(min(start + CHUNK, samples), samples, "samples")
    entry = comparison.entry()
    (context.folder / "simulation.json").write_text(json.dumps(entry, indent=2) + "\n")
    return {"agreement": [entry], **_measured_pace(context, network, inputs)}


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
    from ....synthesis.budget import Budget
    from ....synthesis.network import estimate_folder

    folder = context.input("verilog") / "rtl"
    facts = context.facts("verilog")
    budget = Budget.of_board(context.board)
    total, parts = estimate_folder(
        folder, facts["top"], facts.get("units", []), family=budget.family
    )
    (context.folder / "resources.json").write_text(
        json.dumps(_without_times(total.to_dict()), indent=2) + "\n", encoding="utf-8"
    )
    exceeds = total.exceeds(budget)
    for line in exceeds:
        context.log.warning("%s", line)
    if exceeds and not context.options.settings.allow_oversize:
        raise TargetError(f"{'; '.join(exceeds)}: {_advice(context, budget)}")
    used = total.used(budget)
    return {
        "resources": {
            "source": "Yosys estimate",
            "tool": total.tool,
            "device": budget.device,
            "used": {kind: need for kind, (need, _) in used.items()},
            "available": {kind: there for kind, (_, there) in used.items()},
            "depth": total.depth,
            "units": {part.top: asdict(part.total) for part in parts},
            "exceeds": exceeds,
        }
    }


def _advice(context: StepContext, budget: Any) -> str:
    from ....qonnx_import import load_qonnx
    from ....rtl.stream.fit import advice

    return advice(load_qonnx(context.model), budget)


def _rtl_options(context: StepContext) -> Any:
    from ....rtl.graph.kernel import GraphOptions
    from ....rtl.project import RtlOptions

    settings = context.options.settings
    graph = GraphOptions(adders_per_stage=float(settings.adders_per_stage), effort=settings.effort)
    fold = parse_fold(settings.fold)
    style = "streaming" if fold and settings.style == "auto" else settings.style
    return RtlOptions(style=style, graph=graph, fold=fold, fold_above=settings.fold_above)


def _pauses(style: str) -> dict[str, float]:
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


def _late(name: str) -> Callable[[StepContext], Facts]:
    """`run` of a module of `build/rtl`, imported when it is called."""

    def run(context: StepContext) -> Facts:
        facts: Facts = import_module(f".{name}", __package__).run(context)
        return facts

    return run


STEPS = (
    IMPORT,
    Step(
        "verilog",
        "write Verilog, memories, a test bench that checks itself, and a report",
        verilog,
        needs=("alkaid",),
        options=(*_DESIGN, "allow_oversize", "board", "samples"),
        after=(),
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
    ),
    Step(
        "shell",
        "AXI shell and driver; the driver runs against the simulated shell, code by code",
        _late("shell"),
        needs=("verilator", "c++"),
        options=("axis_width", "board", "clock_mhz", "seed"),
        after=("import", "verilog"),
        version=2,
    ),
    Step(
        "handover",
        "block design for Vivado, constraints, overlay with driver; all of it checked",
        _late("handover"),
        needs=("tcl", "verilator"),
        options=("axis_width", "board", "clock_mhz", "samples"),
        after=("import", "verilog", "shell"),
        version=2,
    ),
    Step(
        "bitstream",
        "Vivado: block design, place and route, bitstream",
        implement,
        needs=("vivado",),
        by_vendor=True,
    ),
)
"""The steps in order."""
