"""Steps `fold`, `units` and `stitch`: parallelism, estimates, and the design in Verilator."""

from __future__ import annotations

import json
from typing import Any

from ...steps import Facts, StepContext
from .convert import compare, load, samples_of, save


def fold(context: StepContext) -> Facts:
    """Fold for the frame rate, and say whether it fits the board.

    Raises:
        VerificationError: a code differs.
    """
    from ....finn_plugin.fit import fit

    options, board = context.options, context.board
    model = load(context, context.input("convert") / "specialised.onnx")
    found = fit(model, options.settings.target_fps, options.clock_mhz, board.resources.counts())
    for line in found.reasons:
        context.log.warning("%s", line)
    save(found.model, context.folder / "folded.onnx")
    (context.folder / "estimate.json").write_text(json.dumps(found.to_dict(), indent=2) + "\n")
    agreement = compare(context, _dataflow(context), found.model, "FINN, folded")
    return {
        "agreement": [agreement],
        "resources": {"source": "estimate of the units", "used": found.used},
        "work_total": {
            "source": "estimate of the units",
            "interval_cycles": found.interval,
            "samples_per_second": round(found.fps, 1),
            "limited_by": f"unit {found.slowest}",
        },
        "fits": not found.reasons,
        "reasons": list(found.reasons),
        "checks": [found.summary],
    }


def units(context: StepContext) -> Facts:
    """Simulate every unit's Verilog, one after the other.

    Raises:
        VerificationError: a code differs.
    """
    from ....finn_plugin.hardware import rtlsim
    from ....simulation import simulate

    rtlsim.install(simulate)
    model = load(context, context.input("fold") / "folded.onnx")
    context.progress(0, 1, "compiling")
    model = rtlsim.prepare(model, context.board.part, 1000.0 / context.options.clock_mhz)
    what = "Verilator, unit by unit"
    agreement = compare(context, _dataflow(context), model, what, most=1)
    return {"agreement": [agreement]}


def stitch(context: StepContext) -> Facts:
    """Connect all units by FIFOs, size these by simulation, and compare codes and cycles.

    Raises:
        VerificationError: a code differs, or the design is stuck.
    """
    from ....finn_plugin.fit import total
    from ....finn_plugin.hardware.fifos import size_fifos
    from ....finn_plugin.hardware.stitch import assemble
    from ....simulation import simulate

    dataflow = _dataflow(context)
    clock = context.options.clock_mhz
    model = load(context, context.input("fold") / "folded.onnx")
    model = assemble(model, context.board.part, 1000.0 / clock)
    inputs = samples_of(context, context.options.settings.frames)
    if not isinstance(inputs, dict):
        inputs = {dataflow.graph.inputs[0].output: inputs}
    context.progress(0, 1, "simulating")
    sized = size_fifos(model, dataflow.graph, dataflow.contract, inputs, simulate)
    (context.folder / "fifo_depths.json").write_text(json.dumps(sized.depths, indent=2) + "\n")
    used = total(sized.model)
    return {
        "agreement": [
            {
                "executor": "Verilator, stitched",
                "samples": sized.frames,
                "compared": sized.compared,
                "differing": sum(sized.differing.values()),
            }
        ],
        "resources": {"source": "estimate with FIFOs and width converters", "used": used},
        "timing": {
            "source": "Verilator, stitched",
            "interval_cycles": sized.interval,
            "latency_cycles": sized.latency,
            "samples_per_second": round(clock * 1e6 / sized.interval, 1),
            "limited_by": f"unit {sized.slowest}",
        },
        "estimated_cycles": sized.estimate,
        "slowest": sized.slowest,
    }


def _dataflow(context: StepContext) -> Any:
    from ....finn_plugin.network import convert

    bits = context.options.settings.max_threshold_bits
    return convert(context.model, max_threshold_bits=bits)
