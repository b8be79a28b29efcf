"""What a network costs in hardware, without writing or simulating anything."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import TargetError
from ..ir import Graph
from ..qonnx_import import load_qonnx
from ..synthesis.estimate import ULTRA96
from .graph.kernel import GraphOptions
from .options import RtlOptions
from .project import build_network
from .stream.fit import BRAM_BITS, adder_graph_luts
from .stream.folding import graph_luts, is_foldable, natural_pace, smallest, unit_luts
from .stream.stages import cut

UNLIMITED = 1 << 60
ROOMY = replace(ULTRA96, resources=replace(ULTRA96.resources, lut=UNLIMITED))
"""A board on which nothing has to be folded."""


def count_luts(onnx_model: Any, style: str = "unrolled", effort: int = 2) -> int:
    """LUTs of an exported network's adder graphs, by the compiler's own count.

    Args:
        onnx_model: what `export_qonnx` returns.
        style: "unrolled", one graph for all positions, or "streaming", a graph for each layer,
            which computes a position in every cycle; windows are not counted.
        effort: of the solver; see `GraphOptions`.

    Raises:
        TargetError: an operation cannot be unrolled, or has no streaming form.
        ToolMissingError: alkaid is not installed.
    """
    graph = _load(onnx_model)
    options = RtlOptions(style=style, graph=GraphOptions(effort=effort), fold_above=UNLIMITED)
    return adder_graph_luts(build_network(graph, options, ROOMY))


def folded_costs(onnx_model: Any, cycles: int | None = None) -> list[dict[str, Any]]:
    """What each layer needs in a streaming network whose layers all share their hardware.

    Every layer gets the smallest unit that keeps the pace; LUTs and bits of weight memory are
    those that `compile_rtl` plans with, before synthesis and without control.

    Args:
        onnx_model: what `export_qonnx` returns.
        cycles: clock cycles that a sample may take; by default those of the slowest sliding
            window, or of the samples' arrival.

    Returns:
        One row a layer: `name`, `pe`, `simd`, `cycles`, `lut`, `bram36`, `dsp`.

    Raises:
        TargetError: an operation has no streaming form, or no folding keeps the pace.
    """
    stages = cut(_load(onnx_model))
    pace = natural_pace(stages) if cycles is None else cycles
    rows: list[dict[str, Any]] = []
    row: dict[str, Any]
    for stage in stages:
        if not is_foldable(stage):
            if graph_luts(stage):
                row = {"pe": 0, "simd": 0, "cycles": stage.steps, "lut": graph_luts(stage)}
                rows.append({"name": stage.layer, **row, "bram36": 0.0, "dsp": 0})
            continue
        folding = smallest(stage, pace)
        unit = folding.unit(stage, "unit")
        row = {"pe": folding.pe, "simd": folding.simd, "cycles": folding.cycles(stage)}
        row |= {"lut": unit_luts(unit), "bram36": unit.memory_bits / BRAM_BITS, "dsp": 0}
        rows.append({"name": stage.layer, **row})
    slowest = max((stage.steps for stage in stages), default=0)
    slowest = max(slowest, *(int(row["cycles"]) for row in rows))
    if cycles is not None and slowest > cycles:
        raise TargetError(f"no folding takes {cycles:,} cycles a sample: it needs {slowest:,}")
    return rows


def _load(onnx_model: Any) -> Graph:
    with tempfile.TemporaryDirectory(prefix="qfx-cost-") as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(onnx_model.SerializeToString())
        graph = load_qonnx(path)
    graph.verify()
    return graph
