"""One network as hardware: unrolled by the adder-graph compiler, or folded, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qfx_plugin.ir import Conv, Graph, Linear
from qfx_plugin.rtl.project import UNROLLED_TERMS, RtlOptions, build_network
from qfx_plugin.synthesis.estimate import ResourceEstimate, estimate
from qfx_plugin.units.mvu import MatrixProduct, Mvu, fold, matrix_product

COLUMNS = (
    "hardware", "cycles", "lut", "ff", "dsp", "bram18", "depth", "weight_bits", "counted_by",
    "note",
)  # fmt: skip

UNROLLED, FOLDED = "unrolled", "folded"
KINDS = (UNROLLED, FOLDED)

Maker = Callable[[], dict[str, Any]]


def hardware(
    graph: Graph, k: int | None, cycles: int, whole: bool, kinds: list[str]
) -> dict[str, Maker]:
    """What makes each row, by its title.

    Args:
        graph: the network.
        k: K of its weights; without it, the network is also built with multipliers.
        cycles: for a sample, of each folded layer.
        whole: synthesise unrolled networks too.
        kinds: of `KINDS`.
    """
    result: dict[str, Maker] = {}
    if UNROLLED in kinds:
        result["unrolled adder graph"] = lambda: _unrolled(graph, whole)
    units = {"folded, K-hot": ("khot", True)}
    if k is None:
        units = {
            "folded, radix 4": ("radix4", True),
            "folded, LUT multipliers": ("mul", False),
            "folded, DSP": ("mul", True),
        }
    if FOLDED in kinds:
        for title, unit in units.items():
            result[title] = lambda unit=unit: _folded(graph, cycles, *unit)
    return result


def row(title: str, facts: dict[str, Any]) -> dict[str, Any]:
    """All columns; `None` where there is nothing to say."""
    return dict.fromkeys(COLUMNS) | {"hardware": title} | facts


def _unrolled(graph: Graph, whole: bool) -> dict[str, Any]:
    """The whole network in one graph, or, with convolutions, a graph per layer."""
    layers = _layers(graph)
    weights = sum(int((op.weight.codes != 0).sum()) for op in layers)
    if weights > UNROLLED_TERMS:
        return {"note": f"not built: {weights} weights, style 'auto' unrolls {UNROLLED_TERMS}"}
    if any(isinstance(op, Conv) for op in layers):
        network = build_network(graph, RtlOptions(style="streaming", fold_above=weights + 1))
        stages = network.facts["stages"]
        luts, note = sum(stage["cost_lut"] for stage in stages), "a position a cycle, no windows"
    else:
        network = build_network(graph, RtlOptions(style="unrolled"))
        luts, note = network.facts["cost_lut"], f"{network.latency} stages"
    facts = {"cycles": network.interval, "note": note}
    if not whole:
        return facts | {"lut": luts, "ff": _registers(network.files), "dsp": 0, "bram18": 0,
                        "counted_by": "alkaid"}  # fmt: skip
    with TemporaryDirectory() as folder:
        sources = network.write(Path(folder))
        report = estimate(sources, network.name, timeout_s=3600, memory_gb=6)
    return facts | _cells(report)


def _registers(files: dict[str, str]) -> int:
    """Bits of the pipeline registers in the adder graphs' text."""
    found = (
        bits
        for name, text in files.items()
        if name.endswith("_graph.v")
        for bits in re.findall(r"\breg\s+(?:\[(\d+):0\]\s*)?\w+", text)
    )
    return sum(int(bits or 0) + 1 for bits in found)


def _folded(graph: Graph, most: int, datapath: str, dsp: bool) -> dict[str, Any]:
    """The layers' units side by side in one design; weights in block RAM."""
    units, cycles = [], 0
    for number, op in enumerate(_layers(graph)):
        product = matrix_product(op, graph)
        positions = prod(graph.types()[op.output].shape[1:])
        pe, simd = _folding(product, max(1, most // positions))
        unit = fold(
            product, pe, simd, name=f"unit_{number}", datapath=datapath, rom_style="block", dsp=dsp
        )
        units.append(unit)
        cycles = max(cycles, positions * unit.cycles)
    with TemporaryDirectory() as name:
        folder = Path(name)
        sources = dict.fromkeys(path for unit in units for path in unit.write(folder))
        top = folder / "network.sv"
        top.write_text(_side_by_side(units), encoding="ascii")
        report = estimate(
            [*sources, top], "network", memories=folder.glob("*.mem"), dsp=dsp, timeout_s=1800
        )
    bits = sum(unit.memory_bits for unit in units)
    lanes = sum(unit.pe * unit.simd for unit in units)
    return {"cycles": cycles, "weight_bits": bits, "note": f"{lanes} lanes"} | _cells(report)


def _side_by_side(units: list[Mvu]) -> str:
    """A module that holds the units, each with ports of its own."""
    ports, cells = ["input logic clk", "input logic rst"], []
    for unit in units:
        widths = {
            "input s_axis_tdata": unit.simd * unit.product.input_bits,
            "input s_axis_tvalid": 1,
            "output s_axis_tready": 1,
            "output m_axis_tdata": unit.pe * unit.product.result_bits,
            "output m_axis_tvalid": 1,
            "input m_axis_tready": 1,
        }
        connections = [".clk", ".rst"]
        for port, width in widths.items():
            direction, name = port.split()
            ports.append(f"{direction} logic [{width - 1}:0] {unit.name}_{name}")
            connections.append(f".{name}({unit.name}_{name})")
        cells.append(f"  {unit.name} {unit.name}_i ({', '.join(connections)});")
    return "\n".join([f"module network ({', '.join(ports)});", *cells, "endmodule", ""])


def _layers(graph: Graph) -> list[Linear | Conv]:
    return [op for op in graph.ops if isinstance(op, Linear | Conv)]


def _folding(product: MatrixProduct, cycles: int) -> tuple[int, int]:
    """(PE, SIMD) of the smallest unit that takes at most `cycles`; the squarer of equal ones."""
    rows, columns = product.shape
    fitting = [
        (pe * simd, abs(pe - simd), pe, simd)
        for pe in range(1, rows + 1)
        for simd in range(1, columns + 1)
        if rows % pe == 0 and columns % simd == 0 and rows * columns <= cycles * pe * simd
    ]
    return min(fitting)[2:]


def _cells(report: ResourceEstimate) -> dict[str, Any]:
    total = report.total
    return {
        "lut": total.all_luts, "ff": total.ff, "dsp": total.dsp, "bram18": total.bram18,
        "depth": report.depth, "counted_by": "Yosys",
    }  # fmt: skip
