"""The last steps for boards without a processor: Yosys, nextpnr, a bitstream. No vendor's tool."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....boards import OpenBoard
from ....errors import TargetError
from ....qonnx_import import load_qonnx
from ....rtl.ports import entry_codes, hardware_ports
from ....shell.core import CorePorts
from ....shell.open_top import TOP, BoardLink, OpenTop, open_top
from ....shell.pll import nearest
from ....shell.scan import scan_link, scan_samples, scans
from ....shell.uart_top import uart_top
from ....shell.wrap import Place, wrap
from ....simulation import compile_module
from ....synthesis import mapping, placement
from ....synthesis.mapping import map_design
from ....synthesis.placement import Routed
from ....tools import nextpnr, process
from ...board_values import CLOCK_TOLERANCE
from ...compare import Comparison
from ...inputs import count_of, load_inputs
from ...model_steps import expected_codes
from ...steps import Facts, StepContext
from .shell import read_network

PLACED = "nextpnr, placed and routed"
FOREIGN = (
    "clocks: after place and route, by nextpnr's model of this device; they say nothing absolute "
    "about another family's, such as a Zynq's"
)


def synthesise(context: StepContext) -> Facts:
    """Write the top around the network, and map all of it to the family's cells.

    Raises:
        TargetError: the device has too little of something, or Yosys fails.
    """
    board = _board(context)
    facts = context.facts("verilog")
    if context.options.settings.link == "uart":
        top = uart_around(context, board)
    else:
        top = design_around(facts, context.model, board, context.options.clock_mhz)
    sources = context.folder / "rtl"
    sources.mkdir()
    for name, text in top.files.items():
        (sources / name).write_text(text, encoding="utf-8")
    network = sorted((context.input("verilog") / "rtl").iterdir())
    context.progress(0, 1, "Yosys")
    mapped = map_design(
        [*network, *sorted(sources.iterdir())],
        TOP,
        board.family,
        context.scratch,
        limits_of(context),
    )
    shutil.copyfile(context.scratch / mapping.NETLIST, context.folder / mapping.NETLIST)
    pins = placement.constraints(board, top.pins, top.oscillator)
    (context.folder / placement.CONSTRAINTS).write_text(pins, encoding="utf-8")
    table = {"used": mapped.used, "cells": dict(sorted(mapped.cells.items()))}
    (context.folder / "resources.json").write_text(json.dumps(table, indent=2) + "\n")
    _check_size(context, mapped.used)
    resources = {"source": "Yosys, mapped, before placement", "used": mapped.used}
    notes = _clock_notes(context, top.clock_mhz)
    return {"resources": resources, "clock_mhz": top.clock_mhz, "checks": notes}


def netlist(context: StepContext) -> Facts:
    """Simulate what was mapped, cell by cell, and compare it with the interpreter.

    Raises:
        VerificationError: a code differs.
        TargetError: Yosys or Verilator fails.
    """
    samples, ports = (
        context.options.settings.netlist_samples,
        _ports(context.facts("verilog"), context.model),
    )
    untold = _not_simulated(context, ports) if samples else ["netlist: not simulated"]
    if untold:
        return {"checks": untold}
    board, work = _board(context), context.scratch
    shutil.copyfile(context.input("synthesise") / mapping.NETLIST, work / mapping.NETLIST)
    context.progress(0, 1, "compiling")
    source = mapping.simulated_netlist(work, TOP, board.family, limits_of(context))
    top = compile_module([source], TOP)
    inputs = load_inputs(context.input("import"), samples)
    count = count_of(inputs)
    expected = {
        name: codes[:count]
        for name, codes in expected_codes(context, context.input("import")).items()
    }
    entering = entry_codes(load_qonnx(context.model), inputs)
    interval = math.ceil(context.facts("verilog")["interval"])
    comparison = Comparison(f"netlist of all of {board.name}'s design, simulated", context.log)
    comparison.add_codes(scan_samples(top, ports, interval, entering, expected), expected)
    return {"agreement": [comparison.entry()]}


def _not_simulated(context: StepContext, ports: CorePorts) -> list[str]:
    """Why the netlist cannot be compared; nothing if it can."""
    if not scans(ports):
        return ["netlist: not simulated, a sample has several beats"]
    if context.options.settings.link != "scan":
        return ["netlist: not simulated with a UART; link=scan simulates it"]
    cells = context.facts("synthesise")["resources"]["used"]
    lacking = [name for name in ("dsp", "bram36") if cells.get(name)]
    if lacking:
        return [f"netlist: not simulated, Yosys has no models of its {' and '.join(lacking)} cells"]
    return []


def place_route(context: StepContext) -> Facts:
    """Place and route with every seed; the fastest stays.

    Raises:
        TargetError: nextpnr fails or takes too much, or the clock is not reached.
    """
    board, asked = _board(context), float(context.facts("synthesise")["clock_mhz"])
    seeds = context.options.settings.seed_numbers
    reached: dict[int, Routed] = {}
    for index, seed in enumerate(seeds):
        context.progress(index, len(seeds), f"nextpnr, seed {seed}")
        folder = context.scratch / str(seed)
        folder.mkdir()
        for name in (mapping.NETLIST, placement.CONSTRAINTS):
            shutil.copyfile(context.input("synthesise") / name, folder / name)
        run = placement.route(folder, board, asked, seed, limits_of(context))
        reached[seed] = placement.read_report(folder / placement.REPORT)
        context.log.info(
            "seed %d: %.1f MHz; %.0f s, %.2f GB",
            seed, reached[seed].reached_mhz, run.seconds, run.peak_gb,
        )  # fmt: skip
    best = max(seeds, key=lambda seed: reached[seed].reached_mhz)
    shutil.copyfile(
        context.scratch / str(best) / placement.ROUTED, context.folder / placement.ROUTED
    )
    facts = _routed_facts(context, reached[best], asked)
    facts["seeds"] = {str(seed): round(one.reached_mhz, 2) for seed, one in reached.items()}
    facts["checks"].insert(0, _seed_note(facts["seeds"], best))
    (context.folder / "route.json").write_text(json.dumps(facts, indent=2) + "\n")
    if reached[best].reached_mhz < asked:
        raise TargetError(_too_slow(context, reached[best], asked, best))
    return facts


def bitstream(context: StepContext) -> Facts:
    """Pack what was routed.

    Raises:
        TargetError: the packer fails.
    """
    board = _board(context)
    flow = nextpnr.FLOWS[board.family]
    shutil.copyfile(
        context.input("place_route") / placement.ROUTED, context.scratch / placement.ROUTED
    )
    name = context.facts("verilog")["top"] + flow.suffix
    context.progress(0, 1, flow.packer)
    placement.pack(context.scratch, board, name, limits_of(context))
    shutil.copyfile(context.scratch / name, context.folder / name)
    size = (context.folder / name).stat().st_size
    load = f"; to load it: {board.loader} bitstream/{name}" if board.loader else ""
    return {"checks": [f"bitstream: {name}, {size:,} bytes{load}"], "bytes": size}


def layer_of(cell: str, stages: Sequence[Mapping[str, Any]]) -> str:
    """Where in the network a cell is, by its instance's name: a layer, a stage, or the link.

    Args:
        cell: as nextpnr calls it, instances with dots between them.
        stages: of a streaming network's report, in order; none of an unrolled one.
    """
    stage = re.search(r"\.stage(\d+)\.", cell)
    if stage and int(stage[1]) < len(stages):
        return str(stages[int(stage[1])].get("layer") or stages[int(stage[1])]["unit"])
    logic = re.search(r"\.graph\..*?logic(\d+)", cell)
    if logic:
        return f"pipeline stage {logic[1]} of the adder graph"
    return "the network's top" if re.search(r"\.(net|network)\.", cell) else "link"


def _routed_facts(context: StepContext, routed: Routed, asked: float) -> dict[str, Any]:
    """Resources as placed, every clock, the longest way, and what the network does a second."""
    facts = context.facts("verilog")
    layers = list(dict.fromkeys(layer_of(cell, facts.get("stages", ())) for cell in routed.slowest))
    used = {**context.facts("synthesise")["resources"]["used"], **placed_pieces(routed)}
    clocks = {name: round(mhz, 2) for name, mhz in routed.clocks.items()}
    interval = facts["interval"]
    return {
        "resources": {"source": PLACED, "used": used},
        "timing": {
            "source": PLACED,
            "clock_mhz": asked,
            "routed_mhz": round(routed.reached_mhz, 2),
            "interval_cycles": interval,
            "most_samples_per_second": round(1e6 * asked / interval),
        },
        "clocks_mhz": clocks,
        "places": {name: list(pair) for name, pair in sorted(routed.used.items())},
        "slowest": layers,
        "checks": [
            *(f"clock {name}: {mhz:g} MHz after routing, {asked:g} MHz asked"
              for name, mhz in clocks.items()),
            f"longest way: {routed.delay_ns:g} ns, in {' and '.join(layers) or 'no register'}",
            f"samples: the network takes one in {interval:,} cycles; its link to the host, "
            f"{_LINKS[context.options.settings.link]}, is slower",
            FOREIGN,
        ],
    }  # fmt: skip


_LINKS = {"scan": "a chain of flip-flops with a bit in a cycle", "uart": "a UART"}
_PLACES = {
    "lut": ("TRELLIS_COMB", "LUT4", "ALU"),
    "ff": ("TRELLIS_FF", "DFF"),
    "dsp": ("MULT18X18D", "MULT18X18"),
}
"""Places of a device by piece; Gowin's LUTs and carry cells share theirs."""


def placed_pieces(routed: Routed) -> dict[str, int]:
    """Pieces of the device that are taken, as far as nextpnr counts them."""
    found = {
        piece: sum(routed.used.get(name, (0, 0))[0] for name in names)
        for piece, names in _PLACES.items()
    }
    return {piece: count for piece, count in found.items() if count}


def _seed_note(seeds: Mapping[str, float], best: int) -> str:
    others = ", ".join(f"{seed}: {mhz:g} MHz" for seed, mhz in seeds.items())
    return f"seed {best} of {len(seeds)} is kept ({others})"


def _too_slow(context: StepContext, routed: Routed, asked: float, seed: int) -> str:
    adders = context.options.settings.adders_per_stage
    stages = context.facts("verilog").get("stages", ())
    where = ", ".join(dict.fromkeys(layer_of(cell, stages) for cell in routed.slowest))
    less = f", fewer than {adders:g} adders_per_stage" if adders > 1 else ""
    return (
        f"clock_mhz {asked:g} is not reached on {context.board.name}: {routed.reached_mhz:.1f} MHz "
        f"after routing with seed {seed}, the longest way in {where}; ask for "
        f"{math.floor(routed.reached_mhz)} MHz, more seeds{less}"
    )


def _clock_notes(context: StepContext, made: float) -> list[str]:
    """What to tell where the PLL makes another clock than was asked for."""
    asked = context.options.clock_mhz
    if abs(made - asked) <= CLOCK_TOLERANCE * asked:
        return []
    note = f"clock: the PLL of {context.board.name} makes {made:g} MHz for {asked:g} MHz asked"
    context.log.warning("%s", note)
    return [note]


def _check_size(context: StepContext, used: Mapping[str, float]) -> None:
    """Refuse before placement what cannot fit.

    Raises:
        TargetError: by how much, and what to do.
    """
    there = context.board.resources.counts()
    lacking = [
        f"{used[piece]:,g} {piece.upper()}, {used[piece] / have:.2f} times the {have:,} of "
        f"{context.board.part}"
        for piece, have in there.items()
        if used.get(piece, 0) > have
    ]
    if lacking and not context.options.settings.allow_oversize:
        raise TargetError(
            f"network {context.facts('verilog')['top']!r} is too large for {context.board.name}: "
            f"at least {'; '.join(lacking)} (Yosys, before placement); name a larger board, fold "
            "layers, or use fewer bits"
        )


def design_around(
    facts: Mapping[str, Any], model: Path, board: OpenBoard, clock_mhz: float
) -> OpenTop:
    """All of a board's design but the network: this is where another link takes its place.

    Args:
        facts: top, style, latency and interval of the network.
        model: its QONNX file.
        board: what the design is for.
        clock_mhz: asked for.

    Raises:
        TargetError: the network has neither streams nor plain ports.
    """
    link = scan_link(_ports(facts, model), math.ceil(facts["interval"]))
    return open_top(link, board, clock_mhz)


def uart_around(context: StepContext, board: OpenBoard) -> OpenTop:
    """The same with an accelerator at a UART, which the driver speaks to.

    The folder of the step gets `accelerator.json`.
    """
    pll = nearest(board, context.options.clock_mhz)
    clock = board.clock.reference_mhz if pll is None else pll.mhz
    settings = context.options.settings
    shell = wrap(read_network(context), Place(board.name, clock), bus_bits=32)
    top = uart_top(shell, clock_mhz=clock, baud=settings.baud, reset="high")
    (context.folder / "accelerator.json").write_text(top.description.to_json(), "utf-8")
    link = BoardLink(top.top, top.files, reset="reset", has_light=True)
    return open_top(link, board, context.options.clock_mhz)


def _ports(facts: Mapping[str, Any], model: Path) -> CorePorts:
    if facts["style"] == "recurrent":
        raise TargetError(
            f"style 'recurrent': {facts['top']} has no link to a host: take the Verilog of the "
            "step verilog into a design of your own, and build with --until simulate"
        )
    inputs, outputs = hardware_ports(load_qonnx(model))
    streaming = facts["style"] == "streaming"
    return CorePorts(facts["top"], streaming, facts["latency"], inputs, outputs)


def _board(context: StepContext) -> OpenBoard:
    assert isinstance(context.board, OpenBoard), "the families of these steps are open ones"
    return context.board


def limits_of(context: StepContext) -> process.ToolLimits:
    """What Yosys and nextpnr may take."""
    settings = context.options.settings
    return process.ToolLimits(settings.route_seconds, settings.route_gb)
