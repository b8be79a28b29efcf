"""Does a network fit the device, by how much not, and which folding would."""

from __future__ import annotations

from math import ceil
from typing import Any

from ...boards import Board
from ...errors import TargetError
from ...ir import Graph
from ...synthesis.estimate import ULTRA96
from ..network import RtlNetwork
from .folding import SLOWEST, natural_pace, paced, shares
from .serial import stages_of

BRAM_BITS = 36 * 1024
"""Bits of a block RAM."""


def adder_graph_luts(network: RtlNetwork) -> int:
    """The compiler's estimate of all adder graphs, and ours of the folded units."""
    facts = network.facts
    stages = facts.get("stages", ())
    return int(facts.get("cost_lut", 0)) + sum(
        int(row.get("cost_lut", 0)) + int(row.get("unit_lut", 0)) for row in stages
    )


def fit_report(network: RtlNetwork, board: Board = ULTRA96) -> dict[str, object]:
    """Plain data: the estimate, whether it fits, and what to do if it does not.

    The estimate is made before synthesis, from the number of bits that are added; Yosys counts
    0 to 11 % more for adder graphs. Units are counted with their control and memory; sliding
    windows are not.
    """
    luts, memory = adder_graph_luts(network), _sum(network, "memory_bits")
    blocks, slices = ceil(_sum(network, "bram36")), _sum(network, "dsp")
    has = board.resources
    lacking = [
        f"about {need:,} {what}, "
        f"{f'{need / there:.1f} times' if there else 'more than'} the {there:,} of {board.part}"
        for what, need, there in (
            ("LUT", luts, has.lut),
            ("DSP slices", slices, has.dsp),
            ("block RAMs", blocks, has.bram36),
        )
        if need > there
    ]
    report: dict[str, object] = {
        "device": board.part,
        "lut_before_synthesis": luts,
        "lut_available": has.lut,
        "dsp": slices,
        "dsp_available": has.dsp,
        "bram36": blocks,
        "bram36_available": has.bram36,
        "memory_bits": memory,
        "memory_bits_available": BRAM_BITS * has.bram36,
        "fits": not lacking,
    }
    if lacking:
        report["advice"] = f"{'; '.join(lacking)}: {advice(network.graph, board)}"
    return report


def check_fit(report: dict[str, object], name: str) -> None:
    """Refuse a network whose report says that it does not fit.

    Raises:
        TargetError: tells by how much, and which folding would fit.
    """
    if not report["fits"]:
        raise TargetError(f"network {name!r} does not fit: {report['advice']}")


def advice(graph: Graph, board: Board = ULTRA96) -> str:
    """The fastest folding that fits, in words."""
    try:
        _, stages = stages_of(graph)
    except TargetError as error:
        return f"it cannot be folded ({error}); use fewer bits or K-hot weights"
    pace = natural_pace(stages)
    while pace <= SLOWEST:
        shared = [stage for stage in stages if shares(stage)]
        plan = {stage.layer: paced(stage, pace) for stage in shared}
        costs = [plan[stage.layer].cost(stage) for stage in shared]
        need = sum(cost.lut for cost in costs)
        blocks = sum(cost.bram36 for cost in costs)
        if need <= board.resources.plannable_lut and blocks <= board.resources.bram36:
            fold = {name: (folding.pe, folding.simd) for name, folding in plan.items()}
            cycles = max(
                plan[stage.layer].cycles(stage) if shares(stage) else stage.steps
                for stage in stages
            )
            return (
                f"style 'streaming' with fold={fold} needs about {need:,} LUT in its units, and "
                f"{cycles:,} cycles per sample"
            )
        pace *= 2
    return "no folding fits; use fewer bits or K-hot weights"


def _sum(network: RtlNetwork, key: str) -> Any:
    return sum(row.get(key, 0) for row in network.facts.get("stages", ()))
