"""Step `shell`: the AXI shell, and the driver run against it in simulation."""

from __future__ import annotations

import json
from typing import Any

from ....driver import Description, Figures, QfxAccelerator
from ....errors import TargetError
from ....qonnx_import import load_qonnx
from ....shell.simulated_board import SimulatedBoard
from ....shell.wrap import NetworkRtl, Place, Shell, wrap
from ...board_values import accelerator_address, dma_address, told_clock
from ...compare import Comparison
from ...inputs import Inputs, count_of, load_inputs
from ...model_steps import expected_codes
from ...steps import Facts, StepContext

SAMPLES = 64
"""Samples that go through shell and driver; all samples went through the network before."""

PAUSES = 0.25
SOURCES = "shell"


def run(context: StepContext) -> Facts:
    """Write the shell and its description; send samples through it with the driver.

    Raises:
        TargetError: an option that does not fit the model.
        VerificationError: a code differs, or the shell breaks a protocol.
    """
    network = read_network(context)
    settings = context.options.settings
    shell = wrap(network, _place(context), bus_bits=settings.axis_width)
    shell.write(context.folder / SOURCES)
    (context.folder / "accelerator.json").write_text(shell.description.to_json(), "utf-8")
    context.progress(0, 1, "compiling")
    entry, pace = _simulate(context, shell)
    (context.folder / "simulation.json").write_text(json.dumps(entry | pace, indent=2) + "\n")
    return {
        "agreement": [entry],
        "timing": {
            "source": "RTL simulation of network and shell",
            "clock_mhz": shell.description.clock_mhz,
            **pace,
            "limited_by": _limit(shell.description, network.interval),
        },
        "top": shell.top,
        "network_id": shell.description.network_id,
        "checks": told_clock(context),
    }


def _limit(description: Description, interval: int) -> str:
    """What the pace of samples follows: the network, or a bus that takes longer."""
    paces = {f"the network, {interval:,} cycles": interval}
    layouts = {"input": description.input_layout, "output": description.output_layout}
    for side, layout in layouts.items():
        paces[f"the {side} bus, {layout.beats:,} beats"] = layout.beats
    return max(paces, key=lambda name: paces[name])


def read_network(context: StepContext) -> NetworkRtl:
    """What the step `verilog` has written."""
    facts = context.facts("verilog")
    if facts["style"] == "recurrent":
        raise TargetError(
            f"style 'recurrent': {facts['top']} has no AXI shell: take the Verilog of the step "
            "verilog into a design of your own, and build with --until synthesise"
        )
    folder = context.input("verilog") / "rtl"
    return NetworkRtl(
        load_qonnx(context.model),
        facts["top"],
        facts["style"],
        facts["latency"],
        facts["interval"],
        {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir())},
    )


def _place(context: StepContext) -> Place:
    board = context.board
    return Place(
        board=board.name,
        clock_mhz=context.board.clock.reachable(context.options.clock_mhz),
        accelerator_address=accelerator_address(board),
        dma_address=dma_address(board),
    )


def _simulate(context: StepContext, shell: Shell) -> tuple[dict[str, Any], dict[str, float]]:
    """Compare every code, with pauses and without; what was compared, and the pace without."""
    inputs = load_inputs(context.input("import"), SAMPLES)
    samples = count_of(inputs)
    expected = expected_codes(context, context.input("import"))
    wanted = {name: codes[:samples] for name, codes in expected.items()}
    entries = []
    for pauses in (PAUSES, 0.0):
        codes, figures = _run(context, shell, inputs, pauses)
        comparison = Comparison("driver and AXI shell, simulated", context.log)
        comparison.add_codes(codes, wanted)
        entries.append(comparison.entry())
    entry = entries[0] | {"compared": sum(one["compared"] for one in entries)}
    return entry, _pace(figures, shell.description.clock_mhz)


def _run(
    context: StepContext, shell: Shell, inputs: Inputs, pauses: float
) -> tuple[dict[str, Any], Figures]:
    """Output codes by name, and what the counters say."""
    folders = [context.input("verilog") / "rtl", context.folder / SOURCES]
    board = SimulatedBoard.from_folders(
        folders, shell.description, pauses=pauses, seed=context.options.seed
    )
    with QfxAccelerator(board, shell.description) as accelerator:
        run = accelerator.start(inputs, codes=True)
        codes = run.wait()
    named = codes if isinstance(codes, dict) else {shell.description.outputs[0].name: codes}
    return named, run.figures


def _pace(figures: Figures, clock_mhz: float) -> dict[str, float]:
    """Latency, and cycles from one sample to the next within a transfer, without pauses."""
    pace: dict[str, float] = {"latency_cycles": figures.latency_cycles}
    following = figures.samples - figures.transfers
    if following:
        first = figures.transfers * figures.latency_cycles
        interval = (figures.cycles - first) / following
        pace["interval_cycles"] = round(interval, 1)
        pace["most_samples_per_second"] = round(1e6 * clock_mhz / interval)
    return pace
