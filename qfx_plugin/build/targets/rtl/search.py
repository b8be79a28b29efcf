"""Step `search`: how many adders between two registers, tried with place and route."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....boards import OpenBoard
from ....rtl.options import RtlOptions
from ....rtl.project import compile_rtl
from ....shell.open_top import TOP
from ....synthesis import placement
from ....synthesis.mapping import NETLIST, map_design
from ...steps import Facts, StepContext
from .open import design_around, limits_of, placed_pieces

Row = dict[str, Any]


def run(context: StepContext, options: RtlOptions) -> Facts:
    """Build the network with every number asked for, up to its routed clock; take one.

    That is the one with the fewest flip-flops of those that reach the clock, or the fastest. What
    was placed once is kept, so that the step place_route finds it.

    Args:
        context: of the step.
        options: of the design; their `adders_per_stage` is replaced.

    Raises:
        TargetError: a candidate cannot be mapped or placed.
    """
    wanted = context.options.settings.search_numbers
    if not wanted:
        return {}
    rows = []
    for index, adders in enumerate(wanted):
        context.progress(index, len(wanted), f"{adders:g} adders between two registers")
        folder = context.scratch / f"{adders:g}"
        rows.append({"adders_per_stage": adders, **_tried(context, options, adders, folder)})
        context.log.info("%s", _line(rows[-1]))
    reaching = [row for row in rows if row["routed_mhz"] >= row["clock_mhz"]]
    best = min(reaching, key=lambda row: (row["ff"], row["lut"]), default=None)
    best = best or max(rows, key=lambda row: float(row["routed_mhz"]))
    (context.folder / "search.json").write_text(json.dumps(rows, indent=2) + "\n")
    taken = f"{best['adders_per_stage']:g} is taken"
    return {
        "adders_per_stage": best["adders_per_stage"],
        "checks": [f"adders_per_stage: {'; '.join(map(_line, rows))}; {taken}"],
    }


def _tried(context: StepContext, options: RtlOptions, adders: float, folder: Path) -> Row:
    """What a network with so many adders needs and reaches."""
    board = context.board
    assert isinstance(board, OpenBoard), "the step is for open boards"
    chosen = replace(options, adders_per_stage=adders)
    network = compile_rtl(context.model, folder, options=chosen, samples=1, board=board)
    facts = {
        "top": network.name, "style": network.style, "latency": network.latency,
        "interval": network.interval,
    }  # fmt: skip
    top = design_around(facts, context.model, board, context.options.clock_mhz)
    for name, text in top.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    sources = [*sorted((folder / "rtl").iterdir()), *(folder / name for name in top.files)]
    work, limits = folder / "mapped", limits_of(context)
    mapped = map_design(sources, TOP, board.family, work, limits)
    pins = placement.constraints(board, top.pins, top.oscillator)
    (work / placement.CONSTRAINTS).write_text(pins, encoding="utf-8")
    speeds = {}
    for seed in context.options.settings.seed_numbers:
        own = folder / f"seed{seed}"
        own.mkdir()
        for name in (NETLIST, placement.CONSTRAINTS):
            shutil.copyfile(work / name, own / name)
        placement.route(own, board, top.clock_mhz, seed, limits)
        speeds[seed] = placement.read_report(own / placement.REPORT)
    best = max(speeds.values(), key=lambda routed: routed.reached_mhz)
    used = {**mapped.used, **placed_pieces(best)}
    return {
        "lut": used["lut"], "ff": used["ff"], "clock_mhz": top.clock_mhz,
        "routed_mhz": round(best.reached_mhz, 2),
    }  # fmt: skip


def _line(row: Row) -> str:
    return (
        f"{row['adders_per_stage']:g}: {row['lut']:,g} LUT, {row['ff']:,g} FF, "
        f"{row['routed_mhz']:g} MHz"
    )
