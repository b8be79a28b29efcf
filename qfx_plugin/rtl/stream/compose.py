"""Streaming networks: stages with AXI-Stream between them, each unrolled or folded.

    image ─▶ qfx_window ─▶ adder graph ─▶ qfx_window ─▶ qfx_unpack ─▶ folded unit ─▶ qfx_pack ─▶ ...

An unrolled stage computes one position in each cycle in an adder graph. A folded stage computes its
layer in a matrix-vector unit with weights in memory, PE outputs by SIMD inputs in each cycle, and
what follows point by point in an adder graph. Where a tensor is read twice, its stream forks into
buffers of one sample, or of what waits for the longest branch; where branches meet, a stage takes a
beat of each. A pool over whole rows or the whole image keeps one number for each channel.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, prod
from pathlib import Path
from typing import Any

from ...boards import Board
from ...errors import OptionError
from ...ir import Constant, FixedType, Graph
from ...simulation.lanes import Lanes
from ...synthesis.estimate import ULTRA96
from ...units.mvu import Mvu
from ...units.names import verilog_name
from ...units.sources import sources_of, unit_files, used_in
from ..graph.kernel import Kernel, PortTensor, build_kernel, code_lanes
from ..network import RtlNetwork
from ..ports import hardware_ports
from .behind import Behind
from .folding import Folding, choose_folding, folded_cost
from .holding import held
from .matmul import MatMulFolding, MatMulUnit
from .moving import connect_moves, moves_file
from .reduce import RowReduction
from .serial import stages_of
from .stage import Stage
from .stages import Stages
from .wiring import (
    Stream,
    connect_buffer,
    connect_constant,
    connect_flow,
    connect_fork,
    connect_join,
    connect_turns,
    connect_unit,
    connect_window,
    constant_words,
    module,
    remap_lanes,
    side_bits,
)

SLACK = 4
"""Beats that a fork's buffers have more than what waits: of their own registers."""

MOST_BUFFERED = 32
"""Pixels in front of a folded unit's window: what a LUT holds as memory."""


@dataclass
class _Design:
    """What a streaming network consists of while it is put together."""

    files: dict[str, str] = field(default_factory=dict)
    units: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


def build_streaming(graph: Graph, options: Any, board: Board = ULTRA96) -> RtlNetwork:
    """The network as stages; see `qfx_plugin.rtl.options.RtlOptions`.

    Args:
        graph: the network.
        options: style, pipelining and folding.
        board: what layers that no option folds are folded to fit.

    Raises:
        TargetError: a layer or a branch of the network has no streaming form.
        OptionError: `fold` names a layer that does not exist or cannot be folded.
    """
    graph, stages = stages_of(graph)
    foldings = choose_folding(
        stages, options.folds, options.fold_above, board.resources.plannable_lut
    )
    sources, sinks = hardware_ports(graph)
    name = verilog_name(options.name or graph.name, fallback="network")
    design = _Design()
    taken = [name, *unit_files()]
    for number, stage in enumerate(stages):
        stage_name = verilog_name(f"{name}_{number}_{stage.layer}", taken)
        taken.append(stage_name)
        _add_stage(design, stage, stage_name, foldings.get(number), options.adder_graph)
    design.files[f"{name}.sv"] = _top(name, sources, sinks, stages, design, foldings)
    used = used_in("".join(text for file, text in design.files.items() if file.endswith(".sv")))
    files = {path.name: path.read_text("utf-8") for path in sources_of(*used)} | design.files
    facts = {"units": design.units, "stages": design.rows, "adders": _sum(design.rows, "adders")}
    return RtlNetwork(name, graph, "streaming", files, sources, sinks, 0, _interval(design), facts)


def _interval(design: _Design) -> int:
    """Cycles from a sample to the next one: those of the slowest stage."""
    return max(int(row["cycles"]) for row in design.rows)


def _add_stage(
    design: _Design, stage: Stage, name: str, folding: Folding | None, graph_options: Any
) -> None:
    """The files of one stage, and its row in the report."""
    types = stage.types()
    kernel: Kernel | None
    row: dict[str, Any]
    reduction = RowReduction.of(stage)
    if reduction is not None:
        behind = Behind.of(stage, stage.pixel.shape[0], f"{name}_kernel", graph_options)
        kernel, body, row = behind.kernel, reduction.connect(behind), reduction.facts
    elif folding is None:
        whole = _kernel(stage, types, f"{name}_kernel", graph_options)
        kernel, row = whole, {"style": "unrolled", "cycles": stage.steps}
        if stage.moves is None:
            body = connect_window(stage) + connect_flow(stage, whole)
        else:
            body = connect_moves(stage.moves, moves_file(name)) + connect_flow(stage, whole)
            row["memory_bits"] = stage.moves.memory_bits
            if row["memory_bits"]:
                design.files[moves_file(name)] = stage.moves.words.frame.table
    elif isinstance(folding, MatMulFolding):
        behind = Behind.of(stage, folding.pe, f"{name}_kernel", graph_options)
        product, kernel = MatMulUnit(stage, folding), behind.kernel
        body, row = product.connect(behind), product.facts
    else:
        unit = folding.unit(stage, f"{name}_unit")
        behind = Behind.of(stage, unit.pe, f"{name}_kernel", graph_options)
        cost, kernel = folded_cost(unit), behind.kernel
        design.files |= _unit_files(unit)
        lines, sums = connect_unit(stage, unit)
        rows, bits = unit.product.shape[0], unit.product.result_bits
        body = connect_window(stage) + lines
        body += behind.connect(sums, bits, [0] * rows, rows // unit.pe)
        row = {
            "style": "folded",
            "cycles": folding.cycles(stage),
            "pe": unit.pe,
            "simd": unit.simd,
            "datapath": unit.datapath,
            "memory": unit.rom_style,
            "memory_bits": unit.memory_bits,
            "unit_lut": cost.lut,
            "dsp": cost.dsp,
            "bram36": cost.bram36,
        }
    if kernel is not None:
        design.files |= kernel.files
        row |= {"adders": kernel.adders, "cost_lut": round(kernel.cost), "latency": kernel.latency}
    entering = [Stream("s", code_lanes(stage.pixel).bits + side_bits(stage))]
    if stage.product is not None:
        ((_, side),) = stage.sides
        entering = [Stream("s", code_lanes(stage.pixel).bits), Stream("t", code_lanes(side).bits)]
    leaving = Stream("m", code_lanes(types[stage.output]).bits)
    design.files[f"{name}.sv"] = module(name, entering, [leaving], body, stage.label)
    design.units.append(name)
    design.rows.append({"unit": name, "layer": stage.layer, "ops": len(stage.ops)} | row)


def _kernel(stage: Stage, types: Mapping[str, Any], name: str, options: Any) -> Kernel:
    """The adder graph of a whole stage."""
    inputs = [PortTensor(stage.source, types[stage.source], "x")]
    for number, (side, kind) in enumerate(stage.sides):
        inputs.append(PortTensor(side, kind, f"side{number}"))
    outputs = (PortTensor(stage.output, types[stage.output], "y"),)
    return build_kernel((*stage.constants, *stage.ops), types, inputs, outputs, name, options)


def _unit_files(unit: Mvu) -> dict[str, str]:
    """Text of a folded unit's module and memories."""
    with tempfile.TemporaryDirectory(prefix="qfx-unit-") as folder:
        unit.write(Path(folder))
        return {path.name: path.read_text(encoding="utf-8") for path in Path(folder).iterdir()}


def _top(
    name: str,
    sources: Sequence[PortTensor],
    sinks: Sequence[PortTensor],
    stages: Stages,
    design: _Design,
    foldings: Collection[int],
) -> str:
    """The stages in a row; ports with the lanes of the network's own tensors."""
    links = _Links(held(stages, design.rows, _interval(design)))
    entering, leaving = (
        [Stream(tensor.port, tensor.beat_lanes.bits) for tensor in side]
        for side in (sources, sinks)
    )
    for tensor, stream in zip(sources, entering, strict=True):
        links.add(tensor.name, stream, tensor.beats)
    for number, (stage, unit) in enumerate(zip(stages, design.units, strict=True)):
        for constant in stage.known:
            file = f"{unit}_constant{len(design.files)}.mem"
            design.files[file] = links.know(constant, file)
        streams = links.into(stage, number)
        if number and number in foldings and stage.window is not None:
            streams = [links.buffered(streams[0], number, stage.image[1])]
        reads = ", ".join(one.connection(to) for one, to in zip(streams, "st", strict=False))
        following = Stream(f"link{number}", code_lanes(stage.types()[stage.output]).bits)
        links.lines += following.declaration()
        links.lines.append(f"  {unit} stage{number} (")
        links.lines.append(f"      .clk, .rst, {reads},")
        links.lines.append(f"      {following.connection('m')}")
        links.lines.append("  );")
        links.add(stage.output, following, prod(stage.positions))
    for sink in sinks:
        links.leave(sink, *stages.ends[sink.name])
    return module(name, entering, leaving, links.lines, f"network, {len(stages)} stages")


class _Links:
    """The streams between stages, and the lines that fork and join them.

    Args:
        held: of each tensor, the samples that wait in front of its readers; see `held`.
    """

    def __init__(self, held: Mapping[str, Sequence[float]]) -> None:
        self.lines: list[str] = []
        self._held = held
        self._ready: dict[str, list[Stream]] = {}

    def add(self, tensor: str, stream: Stream, beats: int) -> None:
        """Offer a tensor to its readers."""
        samples = self._held.get(tensor, ())
        if len(samples) < 2:
            self._ready[tensor] = [stream]
            return
        branches = {
            Stream(f"{stream.name}_{number}", stream.bits): ceil(beats * max(1.0, waiting)) + SLACK
            for number, waiting in enumerate(samples)
        }
        self.lines += connect_fork(stream, branches)
        self._ready[tensor] = list(branches)

    def know(self, constant: Constant, file: str) -> str:
        """Offer a constant to its only reader; the text of its memory."""
        lanes = code_lanes(constant.result())
        step = prod(constant.weight.codes.shape[1:])
        beat = Lanes(lanes.widths[::step], lanes.signed[::step])
        stream = Stream(f"known{len(self.lines)}", beat.bits)
        self.lines += connect_constant(constant, stream, file)
        self._ready[constant.output] = [*self._ready.get(constant.output, ()), stream]
        return constant_words(constant, beat)

    def into(self, stage: Stage, number: int) -> list[Stream]:
        """The stream that a stage reads, or two that it multiplies."""
        streams = [self._ready[name].pop(0) for name in stage.sources]
        if len(streams) == 1 or stage.product is not None:
            return streams
        both = Stream(f"join{number}", sum(stream.bits for stream in streams))
        if stage.turns is None:
            self.lines += connect_join(streams, both)
        else:
            both = replace(both, bits=code_lanes(stage.pixel).bits)
            known = [constant.output for constant in stage.known]
            self.lines += connect_turns(stage.turns, stage.pixel, streams, both, known)
        return [both]

    def leave(self, sink: PortTensor, tensor: str, pixel: FixedType) -> None:
        """An output of the network, from the stream that shows it."""
        stream, port = self._ready[tensor].pop(0), sink.port
        self.lines += remap_lanes(
            f"{port}_tdata", sink.beat_lanes, f"{stream.name}_tdata", code_lanes(pixel),
            _shifts(sink, pixel),
        )  # fmt: skip
        self.lines += [
            f"  assign {port}_tvalid = {stream.name}_tvalid;",
            f"  assign {stream.name}_tready = {port}_tready;",
        ]

    def buffered(self, stream: Stream, number: int, row: int) -> Stream:
        """A stream behind a buffer of one row of pixels, or of `MOST_BUFFERED`.

        Pixels come in bursts, as from a pool in every other row; a folded unit takes them evenly.
        """
        behind = Stream(f"row{number}", stream.bits)
        depth = min(max(row, 2), MOST_BUFFERED)
        self.lines += connect_buffer(stream, behind, depth)
        return behind


def _shifts(sink: PortTensor, last: Any) -> list[int]:
    """Left shifts from the last stage's codes to the network's, channel by channel."""
    channels = (*sink.kind.shape, 1)[0]  # a single number is a channel of one
    wide = [bits.repeat(channels // bits.size) for bits in (sink.kind.frac_bits, last.frac_bits)]
    shifts = (wide[0] - wide[1]).tolist()
    if min(shifts) < 0:
        raise OptionError(f"output {sink.name!r}: binary points of the last stage are finer")
    return [int(shift) for shift in shifts]


def _sum(rows: Sequence[Mapping[str, Any]], key: str) -> int:
    return sum(int(row.get(key, 0)) for row in rows)
