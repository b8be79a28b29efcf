"""What a network costs in hardware, without writing or simulating anything."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from brevitas_quantizers.fixed_point import khot_codes

from ..errors import TargetError
from ..ir import Graph
from ..ir.passes import merge_biases
from ..qonnx_import import load_qonnx
from ..synthesis.estimate import ULTRA96
from ..units.mvu import MatrixProduct, Mvu, choose_digits
from ..units.product import multipliers, unit_cost
from .graph.kernel import GraphOptions
from .options import Fold, RtlOptions
from .project import build_network
from .stream.behind import treats_alike
from .stream.fit import adder_graph_luts
from .stream.folding import is_foldable, natural_pace, smallest, unpacking_luts
from .stream.serial import stages_of
from .stream.stage import Stage

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


def folded_costs(
    onnx_model: Any, cycles: int | None = None, fold: Mapping[str, Fold] | None = None
) -> list[dict[str, Any]]:
    """What each layer needs in a streaming network whose layers all share their hardware.

    Every layer gets the smallest unit that keeps the pace. These are the numbers that
    `compile_rtl` reports of such a network, before synthesis; sliding windows are not counted.

    Args:
        onnx_model: what `export_qonnx` returns.
        cycles: clock cycles that a sample may take; by default those of the slowest sliding
            window, or of the samples' arrival.
        fold: foldings by name of a node, as of `RtlOptions`, where they are decided already.

    Returns:
        One row a layer: `node`, `pe`, `simd`, `cycles`, `lut`, `bram36`, `dsp`, `fold`.

    Raises:
        TargetError: an operation has no streaming form, or no folding keeps the pace.
    """
    graph = _load(onnx_model)
    smallest_ones = {
        row["node"]: (row["pe"], row["simd"])
        for row in folded_stages(graph, cycles)
        if row["is_foldable"]
    }
    options = RtlOptions(style="streaming", fold=smallest_ones | dict(fold or {}),
                         fold_above=UNLIMITED)  # fmt: skip
    network = build_network(graph, options, ROOMY)
    rows = []
    for stage in network.facts["stages"]:
        lut = stage.get("unit_lut", 0) + stage.get("cost_lut", 0)
        row = {"node": stage["layer"], "lut": lut, "cycles": stage["cycles"]}
        row |= {name: stage.get(name, 0) for name in ("pe", "simd", "dsp", "bram36")}
        rows.append(row | {"fold": options.folds.get(stage["layer"])})
    slowest = max(row["cycles"] for row in rows)
    if cycles is not None and slowest > cycles:
        raise _too_fast(cycles, slowest)
    return [row for row in rows if row["lut"]]


def folded_stages(model: Any, cycles: int | None = None) -> list[dict[str, Any]]:
    """How each layer of a streaming network is folded to keep a pace.

    Args:
        model: what `export_qonnx` returns, or a graph.
        cycles: as of `folded_costs`.

    Returns:
        One row a stage: `node`, `is_foldable`, and where it is, `pe`, `simd`, `rows`, `columns`,
        and how many `casts` stand behind it.

    Raises:
        TargetError: as of `folded_costs`.
    """
    graph = model if isinstance(model, Graph) else _load(model)
    _, stages = stages_of(merge_biases(graph))
    pace = natural_pace(stages) if cycles is None else cycles
    rows: list[dict[str, Any]] = []
    slowest = 0
    for stage in stages:
        row: dict[str, Any] = {"node": stage.layer, "is_foldable": is_foldable(stage)}
        needed = stage.steps
        if is_foldable(stage):
            folding = smallest(stage, pace)
            codes, needed = stage.ops[0].weight.codes, folding.cycles(stage)  # type: ignore[attr-defined]
            row |= {"pe": folding.pe, "simd": folding.simd}
            row |= {"rows": codes.shape[0], "columns": codes[0].size}
            row["casts"] = folding.pe if treats_alike(_without_bias(stage)) else codes.shape[0]
        slowest = max(slowest, needed)
        rows.append(row)
    if cycles is not None and slowest > cycles:
        raise _too_fast(cycles, slowest)
    return rows


def _without_bias(stage: Stage) -> Stage:
    """A budget puts biases on the grid of the sums: then they change nothing of what follows."""
    layer: Any = stage.ops[0]
    return replace(stage, ops=(replace(layer, bias=None), *stage.ops[1:]))


def unit_choices(
    rows: int,
    columns: int,
    pe: int,
    simd: int,
    *,
    input_bits: int,
    signed: bool,
    weight_bits: int,
    digits: int,
) -> list[dict[str, Any]]:
    """The units that compute a layer of these formats, whatever its weights are.

    Args:
        rows: outputs.
        columns: inputs of one of them.
        pe: outputs at once.
        simd: inputs at once.
        input_bits: word length of an input.
        signed: whether inputs are.
        weight_bits: word length of a weight.
        digits: most signed digits of a weight.

    Returns:
        One row a unit: `words`, as `RtlOptions.fold` takes them, `lut`, `dsp`, `bram36`.
    """
    codes = khot_codes(weight_bits, True, digits)
    result = input_bits + weight_bits + (columns - 1).bit_length() - 1
    product = MatrixProduct(
        "any", np.broadcast_to(np.resize(codes[[0, -1]], (rows, 1)), (rows, columns)),
        np.zeros(rows, dtype=object), input_bits, signed, result, np.zeros(1, dtype=np.int64),
    )  # fmt: skip
    every = replace(product, weight=codes[np.newaxis], k=digits)
    found = []
    for words in ((), ("dsp",)):
        datapath, slots = choose_digits(every, "mul" if words else "auto")
        unit = Mvu("unit", product, datapath, pe, simd, slots)
        if words and not multipliers(unit):
            continue
        for memory, style in (("block", "block"), ("lutram", "distributed")):
            cost = unit_cost(replace(unit, rom_style=style))
            row = {"words": (*words, memory), "dsp": cost.dsp, "bram36": cost.bram36}
            found.append(row | {"lut": cost.lut + unpacking_luts(unit)})
    return found


def cast_luts(bits: int, width: int) -> float:
    """LUTs of a cast that truncates a sum of `bits` bits to `width`, and saturates."""
    return bits / 2 + 0.32 * width


def _too_fast(cycles: int, slowest: int) -> TargetError:
    return TargetError(f"no folding takes {cycles:,} cycles a sample: it needs {slowest:,}")


def _load(onnx_model: Any) -> Graph:
    with tempfile.TemporaryDirectory(prefix="qfx-cost-") as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(onnx_model.SerializeToString())
        graph = load_qonnx(path)
    graph.verify()
    return graph
