"""`compile_rtl`: a network to a folder of Verilog with a test bench and a report."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

from ..boards import Board
from ..config import check_name
from ..errors import OptionError, TargetError
from ..ir import FixedType, Graph, MatMul, Weighted
from ..ir.inputs import random_inputs
from ..synthesis.estimate import ULTRA96
from .bench import write_bench
from .graph.guess import LUTS_PER_PRODUCT, layer_luts
from .graph.kernel import code_lanes
from .network import RtlNetwork
from .options import RtlOptions
from .stream.fit import fit_report
from .unrolled import build_unrolled

UNROLLED_TERMS = 6_000
"""Up to so many products in one sample, style "auto" unrolls whatever they cost. At 8 bits a
product takes about ten LUTs of an adder graph, so that this many about fill an xczu3eg."""


def compile_rtl(
    model: str | os.PathLike[str] | Graph,
    out_dir: str | os.PathLike[str],
    *,
    options: RtlOptions | None = None,
    samples: int = 64,
    seed: int = 0,
    board: Board = ULTRA96,
    **settings: Any,
) -> RtlNetwork:
    """Write a network as Verilog, with a test bench that checks itself and a report.

    The folder gets `rtl/` (sources and memories), `tb/` (test bench, vectors, `run.sh`) and
    `report.json`. The vectors' expected codes come from the interpreter.

    Args:
        model: a QONNX file, or the network as `load_qonnx` gives it.
        out_dir: folder to write to.
        options: style, pipelining and folding.
        samples: number of random samples in the test bench.
        seed: of these samples.
        board: the device that folding is chosen for and the report compares with; nothing is
            refused.
        settings: fields of `RtlOptions` by name, instead of `options`.

    Raises:
        ModelFileError, UnsupportedModelError: the file cannot be read as exact fixed point.
        TargetError: an operation or structure that the style cannot express.
        ToolMissingError: alkaid is not installed.
        OptionError: an option breaks its rule.
    """
    if options is not None and settings:
        raise OptionError(f"options must hold {', '.join(settings)}, not stand beside it")
    for name in settings:
        check_name(RtlOptions, name, "option", "samples", "seed", "board")
    options = options or RtlOptions(**settings)
    if samples < 1:
        raise OptionError(f"samples must be at least 1, not {samples}")
    network = build_network(_as_graph(model), options, board)
    folder = Path(out_dir)
    network.write(folder / "rtl")
    write_bench(network, folder, random_inputs(network.graph, samples, seed))
    report = describe(network, options, board)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return network


def build_network(
    graph: Graph, options: RtlOptions | None = None, board: Board = ULTRA96
) -> RtlNetwork:
    """The network as Verilog in memory; see `compile_rtl`."""
    options = options or RtlOptions()
    graph.verify()
    style = _automatic_style(graph, options, board) if options.style == "auto" else options.style
    if style == "streaming":
        from .stream.compose import build_streaming

        return build_streaming(graph, options, board)
    if style == "recurrent":
        from .recurrent import build_recurrent

        return build_recurrent(graph, options.loops, options)
    return build_unrolled(graph, options)


def _automatic_style(graph: Graph, options: RtlOptions, board: Board) -> str:
    """Unrolled if few products, or what they are guessed to cost, are small for the device.

    And if they are few at all and no streaming form exists.
    """
    if options.folds:
        return "streaming"
    count, most = products(graph), ULTRA96.resources.lut
    if count <= UNROLLED_TERMS * min(board.resources.lut, most) // most:
        return "unrolled"
    room = min(board.resources.plannable_lut, ULTRA96.resources.plannable_lut)
    if count > UNROLLED_TERMS and unrolled_luts(graph) <= room:
        return "unrolled"
    return "unrolled" if count <= UNROLLED_TERMS and not _streams(graph) else "streaming"


def _streams(graph: Graph) -> bool:
    from .stream.serial import stages_of

    try:
        stages_of(graph)
    except TargetError:
        return False
    return True


def products(graph: Graph) -> int:
    """Weight times input products of one sample, those with weight 0 left out; and of `MatMul`."""
    types = graph.types()
    weighted = sum(
        int((op.weight.codes != 0).sum()) * prod(types[op.output].shape[1:])
        for op in graph.ops
        if isinstance(op, Weighted)
    )
    return weighted + sum(count for count, _ in _products_of_two(graph))


def unrolled_luts(graph: Graph) -> float:
    """LUTs of all layers as adder graphs, every position of its own, guessed from their weights."""
    types = graph.types()
    total = float(sum(count * luts for count, luts in _products_of_two(graph)))
    for op in graph.ops:
        operand = types[op.inputs[0]] if isinstance(op, Weighted) else None
        if isinstance(op, Weighted) and isinstance(operand, FixedType):
            places = prod(types[op.output].shape[1:])
            total += places * layer_luts(op.weight, max(code_lanes(operand).widths))
    return total


def _products_of_two(graph: Graph) -> list[tuple[int, int]]:
    """Of each `MatMul`: how many products it has, and LUTs of one, about two for a bit by a bit."""
    found = []
    for op in graph.ops:
        if isinstance(op, MatMul):
            left, right = (graph.fixed_type(name) for name in op.inputs)
            count = prod(graph.fixed_type(op.output).shape) * left.shape[-1]
            bits = [max(code_lanes(kind).widths) for kind in (left, right)]
            found.append((count, LUTS_PER_PRODUCT * prod(bits)))
    return found


def describe(network: RtlNetwork, options: RtlOptions, board: Board = ULTRA96) -> dict[str, Any]:
    """The report of a network with its options, and what the device says to it."""
    return {
        "version": 1,
        **network.report,
        "options": {
            "name": options.name,
            "style": options.style,
            "graph": asdict(options.adder_graph),
            "fold": dict(options.folds),
            "fold_above": options.fold_above,
            "states": options.loops,
        },
        "products": products(network.graph),
        "fit": fit_report(network, board),
    }


def _as_graph(model: str | os.PathLike[str] | Graph) -> Graph:
    if isinstance(model, Graph):
        return model
    from ..qonnx_import import load_qonnx

    return load_qonnx(model)
