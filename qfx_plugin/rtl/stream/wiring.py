"""SystemVerilog text that connects units: streams, sliding windows, lanes of different widths."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from ...ir import Constant, FixedType
from ...simulation.lanes import Lanes
from ...units.mvu import Mvu
from ...units.names import printable
from ...units.sources import packed
from ..graph.kernel import Kernel, assign_lane, code_lanes
from .moves import lane_points, lane_starts
from .stage import Stage, Turns

FORK_BITS = 8192
"""Above so many, a fork's buffer is in block RAM: that takes some 150 LUTs as memory."""


@dataclass(frozen=True)
class Stream:
    """A valid/ready stream of signals `<name>_tdata`, `_tvalid`, `_tready`.

    Attributes:
        name: prefix of its signals.
        bits: of its data.
    """

    name: str
    bits: int

    def declaration(self) -> list[str]:
        """The three signals."""
        return [
            f"  logic [{self.bits - 1}:0] {self.name}_tdata;",
            f"  logic {self.name}_tvalid, {self.name}_tready;",
        ]

    def connection(self, port: str) -> str:
        """Connects it to the port of that prefix."""
        return ", ".join(f".{port}_t{p}({self.name}_t{p})" for p in ("data", "valid", "ready"))


def module(
    name: str, sources: Sequence[Stream], sinks: Sequence[Stream], body: Sequence[str], about: str
) -> str:
    """A module between streams.

    Args:
        name: of the module.
        sources: streams that come in.
        sinks: streams that go out.
        body: lines.
        about: for the comment; anything but printable ASCII is replaced.
    """
    ports = ["input  logic clk", "input  logic rst"]
    for streams, to, fro in ((sources, "input ", "output"), (sinks, "output", "input ")):
        for stream in streams:
            ports += [
                f"{to} logic [{stream.bits - 1}:0] {stream.name}_tdata",
                f"{to} logic {stream.name}_tvalid",
                f"{fro} logic {stream.name}_tready",
            ]
    lines = [f"    {port}," for port in ports]
    lines[1] += "  // synchronous, active high"
    lines[-1] = lines[-1].removesuffix(",")
    head = [f"// {printable(about)}. Written by QFX.", f"module {name} ("]
    return "\n".join([*head, *lines, ");", *body, "endmodule"]) + "\n"


def side_bits(stage: Stage) -> int:
    """Bits of the further tensors that come into a stage, above those of the first."""
    return sum(code_lanes(kind).bits for _, kind in stage.sides)


def connect_window(stage: Stage) -> list[str]:
    """The sliding window of a stage, as stream `w`; the input itself if it needs none."""
    bits = code_lanes(stage.pixel).bits
    taps = 1 if stage.window is None else stage.window.area
    stream = Stream("w", bits * taps + side_bits(stage))
    lines = stream.declaration()
    window = stage.window
    if window is None:
        return [
            *lines,
            "  assign w_tdata = s_tdata;",
            "  assign w_tvalid = s_tvalid;",
            "  assign s_tready = w_tready;",
        ]
    values = {
        "W": bits,
        "IH": stage.image[0],
        "IW": stage.image[1],
        "KH": window.kernel[0],
        "KW": window.kernel[1],
        "SH": window.strides[0],
        "SW": window.strides[1],
        "DH": window.dilations[0],
        "DW": window.dilations[1],
        "TOP": window.pads[0][0],
        "BOTTOM": window.pads[0][1],
        "LEFT": window.pads[1][0],
        "RIGHT": window.pads[1][1],
        "PAD": _pad(stage),
    }
    parameters = ", ".join(f".{key}({value})" for key, value in values.items())
    return [
        *lines,
        f"  qfx_window #({parameters}) window (",
        f"      .clk, .rst, .s_tdata, .s_tvalid, .s_tready, {stream.connection('m')}",
        "  );",
    ]


def connect_flow(stage: Stage, kernel: Kernel) -> list[str]:
    """The adder graph behind stream `w`: taps to elements, and a valid/ready stream around it."""
    lanes = kernel.inputs[0].lanes
    out = kernel.outputs[0].lanes.bits
    lines = [f"  logic [{lanes.bits - 1}:0] x;", f"  logic [{out - 1}:0] y;"]
    low = lanes.bits
    for number, (_, kind) in enumerate(stage.sides):
        high = low + code_lanes(kind).bits - 1
        lines += [f"  logic [{high - low}:0] side{number};"]
        lines += [f"  assign side{number} = w_tdata[{high}:{low}];"]
        low = high + 1
    return [*lines, *_taps_to_elements(stage, lanes), *run_kernel(kernel, "w")]


def connect_unit(stage: Stage, unit: Mvu) -> tuple[list[str], Stream]:
    """A folded unit behind stream `w`: the lines, and the stream of its sums.

    Args:
        stage: the stage.
        unit: computes its first operation.
    """
    columns, width = unit.product.shape[1], unit.product.input_bits
    vector, words = Stream("u", columns * width), Stream("words", unit.simd * width)
    sums = Stream("sums", unit.pe * unit.product.result_bits)
    lines = [line for stream in (vector, words, sums) for line in stream.declaration()]
    lines += ["  assign u_tvalid = w_tvalid;", "  assign w_tready = u_tready;"]
    lines += remap_lanes(
        "u_tdata", Lanes.uniform(columns, width), "w_tdata", _tap_lanes(stage), [0] * columns
    )
    lines += connect_words("qfx_unpack", "unpack", words.bits, columns // unit.simd, vector, words)
    lines.append(
        f"  {unit.name} unit (.clk, .rst, {words.connection('s_axis')},\n"
        f"      {sums.connection('m_axis')});"
    )
    return lines, sums


def leave(result: FixedType, frm: Lanes, shifts: Sequence[int], kernel: Kernel | None) -> list[str]:
    """From stream `v`, a folded unit's sums, to `m`: as the result's codes, and what follows.

    Args:
        result: type of the unit's result.
        frm: lanes of stream `v`.
        shifts: left shifts to the result's codes.
        kernel: the adder graph of what follows, if anything does.
    """
    out = code_lanes(result)
    if kernel is None:
        lines = remap_lanes("m_tdata", out, "v_tdata", frm, shifts)
        return [*lines, "  assign m_tvalid = v_tvalid;", "  assign v_tready = m_tready;"]
    final = kernel.outputs[0].lanes.bits
    lines = [f"  logic [{out.bits - 1}:0] x;", f"  logic [{final - 1}:0] y;"]
    return [*lines, *remap_lanes("x", out, "v_tdata", frm, shifts), *run_kernel(kernel, "v")]


def connect_buffer(stream: Stream, behind: Stream, depth: int) -> list[str]:
    """A buffer of `depth` beats in a stream."""
    return [
        *behind.declaration(),
        f"  qfx_fifo #(.W({stream.bits}), .DEPTH({depth})) {behind.name}_buffer (",
        f"      .clk, .rst, {stream.connection('s')},",
        f"      {behind.connection('m')}",
        "  );",
    ]


def connect_fork(link: Stream, branches: Mapping[Stream, int]) -> list[str]:
    """A stream to several: each beat at once, into a buffer of so many beats for each branch.

    With room for a whole sample in each, a branch that waits for the end of a sample cannot hold up
    the one that it is joined with; what it is made to wait comes on top, or the pace would suffer.
    """
    lines = [line for branch in branches for line in branch.declaration()]
    lines += [f"  logic {branch.name}_room;" for branch in branches]
    lines.append(
        f"  assign {link.name}_tready = {' && '.join(f'{b.name}_room' for b in branches)};"
    )
    for branch, depth in branches.items():
        lines += [
            f"  qfx_fifo #(.W({link.bits}), .DEPTH({depth}), .BLOCK({_in_block(link, depth)}))",
            f"      {branch.name}_buffer (.clk, .rst, .s_tdata({link.name}_tdata),",
            f"      .s_tvalid({link.name}_tvalid && {link.name}_tready),",
            f"      .s_tready({branch.name}_room), {branch.connection('m')}",
            "  );",
        ]
    return lines


def _in_block(stream: Stream, depth: int) -> int:
    """Whether so many beats belong into block RAM."""
    return int(depth > 64 and depth * stream.bits > FORK_BITS)


def connect_join(streams: Sequence[Stream], both: Stream) -> list[str]:
    """Several streams to one: a beat of each at once, the first in the lowest bits."""
    data = ", ".join(f"{stream.name}_tdata" for stream in reversed(streams))
    valid = " && ".join(f"{stream.name}_tvalid" for stream in streams)
    lines = both.declaration()
    lines += [
        f"  assign {both.name}_tdata = {{{data}}};",
        f"  assign {both.name}_tvalid = {valid};",
    ]
    for stream in streams:
        others = [f"{other.name}_tvalid" for other in streams if other is not stream]
        ready = " && ".join((f"{both.name}_tready", *others))
        lines.append(f"  assign {stream.name}_tready = {ready};")
    return lines


def connect_turns(
    turns: Turns, pixel: FixedType, streams: Sequence[Stream], both: Stream, known: Collection[str]
) -> list[str]:
    """Several streams to one: so many beats of the first, then those of the next.

    A constant in front waits for the tensor behind it: a sample that does not come has no beats.
    """
    names = [name for name, _ in turns.streams]
    first = next(number for number, name in enumerate(names) if name not in known)
    to, points = code_lanes(pixel), lane_points(pixel)
    count, bits = len(streams), to.bits
    lines = [
        *both.declaration(),
        f"  logic [{count * bits - 1}:0] {both.name}_wide;",
        f"  logic [{count - 1}:0] {both.name}_valid, {both.name}_ready;",
    ]
    for number, (stream, (_, kind)) in enumerate(zip(streams, turns.streams, strict=True)):
        wide = f"{both.name}_wide{number}"
        waits = f" && {streams[first].name}_tvalid" if number < first else ""
        shifts = [to - frm for to, frm in zip(points, lane_points(kind), strict=True)]
        lines += [
            f"  logic [{bits - 1}:0] {wide};",
            *remap_lanes(wide, to, f"{stream.name}_tdata", code_lanes(kind), shifts),
            f"  assign {both.name}_wide[{(number + 1) * bits - 1}:{number * bits}] = {wide};",
            f"  assign {both.name}_valid[{number}] = {stream.name}_tvalid{waits};",
            f"  assign {stream.name}_tready = {both.name}_ready[{number}]{waits};",
        ]
    return [
        *lines,
        f"  qfx_stream_concat #(.STREAMS({count}), .IN_WIDTH({count * bits}), .OUT_BITS({bits}),",
        f"      .FOLDS({packed(turns.beats, 32)}), .BITS({packed([bits] * count, 32)})",
        f"  ) {both.name}_turns (.clk, .rst_n(!rst), .in_data({both.name}_wide),",
        f"      .in_valid({both.name}_valid), .in_ready({both.name}_ready),",
        f"      .out_data({both.name}_tdata), .out_valid({both.name}_tvalid),",
        f"      .out_ready({both.name}_tready));",
    ]


def connect_constant(constant: Constant, stream: Stream, file: str) -> list[str]:
    """A constant's beats, over and over, as a stream."""
    beats = constant_beats(constant).shape[1]
    return [
        *stream.declaration(),
        f'  qfx_constant #(.W({stream.bits}), .BEATS({beats}), .FILE("{file}"))',
        f"      {stream.name}_beats (.clk, .rst, {stream.connection('m')}",
        "  );",
    ]


def constant_beats(constant: Constant) -> NDArray[np.int64]:
    """(channels, beats) codes, as few beats as give the constant over and over."""
    codes = constant.weight.codes.reshape(constant.weight.codes.shape[0], -1)
    beats = codes.shape[1]
    periods = (n for n in range(1, beats) if not beats % n)
    fewest = (n for n in periods if (codes[:, n:] == codes[:, :-n]).all())
    return codes[:, : next(fewest, beats)]


def constant_words(constant: Constant, lanes: Lanes) -> str:
    """The beats of a constant for `$readmemh`."""
    codes = constant_beats(constant)
    return "".join(f"{_word(column, lanes):x}\n" for column in codes.T.tolist())


def _word(codes: Sequence[int], lanes: Lanes) -> int:
    """Codes side by side, the first lowest."""
    places = zip(codes, lanes.widths, lane_starts(lanes), strict=True)
    return sum((code & ((1 << width) - 1)) << start for code, width, start in places)


def pass_on(frm: Stream, to: Stream) -> list[str]:
    """One stream as another."""
    return [
        f"  assign {to.name}_tdata = {frm.name}_tdata;",
        f"  assign {to.name}_tvalid = {frm.name}_tvalid;",
        f"  assign {frm.name}_tready = {to.name}_tready;",
    ]


def remap_lanes(
    target: str, to: Lanes, source: str, frm: Lanes, shifts: Sequence[int]
) -> list[str]:
    """Assign lane by lane: cut, or extended by sign or zeros, and shifted.

    Args:
        target: vector that is assigned.
        to: its lanes.
        source: vector that is read.
        frm: its lanes, as many.
        shifts: left shift of each lane; a right shift if negative.
    """
    lines = []
    places = zip(lane_starts(to), to.widths, lane_starts(frm), frm.widths, frm.signed, shifts,
                 strict=True)  # fmt: skip
    for low, width, from_low, from_width, signed, shift in places:
        read = source, from_low, from_width, signed
        lines.append(assign_lane((target, low, width, False), read, shift))
    return lines


def run_kernel(kernel: Kernel, source: str, to: str = "m") -> list[str]:
    """An adder graph from signal `x` to `y`, as a valid/ready stream from `source` to `to`."""
    clock = ".clk(clk), " if kernel.latency else ""
    bits = kernel.outputs[0].lanes.bits
    ports = [tensor.port for tensor in (*kernel.inputs, *kernel.outputs)]
    return [
        f"  {kernel.name} kernel ({clock}{', '.join(f'.{p}({p})' for p in ports)});",
        f"  qfx_flow #(.W({bits}), .LATENCY({kernel.latency})) flow (",
        f"      .clk, .rst, .s_tvalid({source}_tvalid), .s_tready({source}_tready), .result(y),",
        f"      {Stream(to, bits).connection('m')}",
        "  );",
    ]


def connect_words(
    kind: str, name: str, width: int, count: int, frm: Stream, to: Stream
) -> list[str]:
    """A unit between words and beats; of beats that are a word, nothing."""
    if count == 1:
        return pass_on(frm, to)
    return [
        f"  {kind} #(.W({width}), .N({count})) {name} (.clk, .rst, {frm.connection('s')},",
        f"      {to.connection('m')});",
    ]


def _tap_lanes(stage: Stage) -> Lanes:
    """Lanes of stream `w`: tap after tap, all channels of each."""
    pixel = code_lanes(stage.pixel)
    taps = 1 if stage.window is None else stage.window.area
    return Lanes(pixel.widths * taps, pixel.signed * taps)


def _taps_to_elements(stage: Stage, lanes: Lanes) -> list[str]:
    """Stream `w` has channels side by side for each tap, the adder graph taps for each channel."""
    pixel = code_lanes(stage.pixel if stage.window is not None else stage.patch)
    taps = prod(stage.patch.shape[1:])
    lines = []
    low = 0
    for element, width in enumerate(lanes.widths):
        channel, tap = divmod(element, taps)
        start = tap * pixel.bits + sum(pixel.widths[:channel])
        lines.append(f"  assign x[{low + width - 1}:{low}] = w_tdata[{start + width - 1}:{start}];")
        low += width
    return lines


def _pad(stage: Stage) -> str:
    """What the window inserts outside the image: 0, or the lowest code of each channel."""
    lanes = code_lanes(stage.pixel)
    if not stage.lowest_pad:
        return f"{lanes.bits}'d0"
    lows = stage.pixel.channels().low
    word, place = 0, 0
    for low, width in zip(lows, lanes.widths, strict=True):
        word |= (int(low) & ((1 << width) - 1)) << place
        place += width
    return f"{lanes.bits}'h{word:x}"
