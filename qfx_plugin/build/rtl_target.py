"""Target `rtl`: Verilog, simulated by Verilator and estimated by Yosys; no vendor tool needed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import setting
from ..errors import VerificationError
from .model_steps import IMPORT
from .steps import Facts, Step, StepContext

ABOUT = "Verilog from adder graphs and folded units, simulated and estimated with open tools"

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
        "Streaming: layers with more weights than this share hardware over time in a folded unit.",
        minimum=0,
    )


OPTIONS = RtlTargetOptions
_DESIGN = ("style", "adders_per_stage", "effort", "fold_above")


def verilog(context: StepContext) -> Facts:
    """Write sources, memories, test bench and report."""
    from ..rtl.fit import fit_report
    from ..rtl.project import compile_rtl

    samples = min(context.options.samples, 64)
    network = compile_rtl(
        context.model, context.folder, options=_rtl_options(context), samples=samples
    )
    context.log.info("%s, %s: %d files", network.name, network.style, len(network.files))
    fit = fit_report(network)
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
    from ..qonnx_import import load_qonnx
    from ..rtl.project import build_network

    network = build_network(load_qonnx(context.model), _rtl_options(context))
    _same_sources(context, network.files)
    source = context.input("import")
    inputs = np.load(source / "inputs.npy")
    names = network.graph.outputs
    expected = {name: np.load(source / f"expected_{i}.npy") for i, name in enumerate(names)}
    context.progress(0, len(inputs), "compiling")
    differing = compared = 0
    for start in range(0, len(inputs), CHUNK):
        part = slice(start, start + CHUNK)
        for name, tensor in network.run(inputs[part], **_pauses(network.style)).items():
            wrong = tensor.codes != expected[name][part]
            if wrong.any() and not differing:
                first = start + int(np.argwhere(wrong)[0, 0])
                context.log.error("first difference: %r of sample %d", name, first)
            differing += int(wrong.sum())
            compared += wrong.size
        context.progress(min(start + CHUNK, len(inputs)), len(inputs), "samples")
    if differing:
        raise VerificationError(
            f"RTL simulation differs from the interpreter in {differing} of {compared} codes"
        )
    context.log.info("%d codes equal", compared)
    entry = {
        "executor": "RTL simulation",
        "samples": len(inputs),
        "compared": compared,
        "differing": differing,
    }
    (context.folder / "simulation.json").write_text(json.dumps(entry, indent=2) + "\n")
    return {"agreement": [entry]}


def synthesise(context: StepContext) -> Facts:
    """Estimate the design's resources unit by unit, and compare them with the board's device."""
    from ..rtl.resources import estimate_folder

    folder = context.input("verilog") / "rtl"
    facts = context.facts("verilog")
    total, parts = estimate_folder(folder, facts["top"], facts.get("units", []))
    (context.folder / "resources.json").write_text(
        json.dumps(_without_times(total.to_dict()), indent=2) + "\n", encoding="utf-8"
    )
    used = {kind: need for kind, (need, _) in total.used().items()}
    available = {kind: there for kind, (_, there) in total.used().items()}
    for line in total.exceeds():
        context.log.warning("%s", line)
    return {
        "resources": {
            "source": "Yosys estimate",
            "tool": total.tool,
            "used": used,
            "available": available,
            "depth": total.depth,
            "units": {part.top: asdict(part.total) for part in parts},
            "exceeds": total.exceeds(),
        }
    }


def _rtl_options(context: StepContext) -> Any:
    from ..rtl.kernel import GraphOptions
    from ..rtl.project import RtlOptions

    settings = context.options.settings
    graph = GraphOptions(adders_per_stage=float(settings.adders_per_stage), effort=settings.effort)
    return RtlOptions(style=settings.style, graph=graph, fold_above=settings.fold_above)


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


STEPS = (
    IMPORT,
    Step(
        "verilog",
        "write Verilog, memories, a test bench that checks itself, and a report",
        verilog,
        needs=("alkaid",),
        options=(*_DESIGN, "samples"),
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
        options=_DESIGN,
    ),
)
"""The steps in order."""
