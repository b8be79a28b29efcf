"""Element-wise hardware: lanes that share the channels of a layer over time, with or without `*`.

    unit = build_unit(element_wise_stage(network, 5), lanes=16, datapath="khot")
    sources = unit.write(folder)

Every lane takes an element in each cycle. A layer with more channels than lanes comes in tiles:
with the data comes the number of their tile, which selects the constants of each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qfx_plugin.errors import OptionError, TargetError
from qfx_plugin.ir import Graph, Quantize, Weight
from qfx_plugin.ir.types import Codes
from qfx_plugin.simulation import Beats, Lanes, compile_module
from qfx_plugin.units.digits import SlotDigits, khot_digits
from qfx_plugin.units.modes import overflow_number, rounding_number
from qfx_plugin.units.sources import sources_of, used_in

from .stage import SHORTCUT, SUMS
from .steps import Affine, Cast, Join, Step, bits_of, chain

DATAPATHS = ("khot", "mul")


@dataclass(frozen=True, eq=False)
class ElementWiseUnit:
    """A Verilog module for one stage.

    Attributes:
        name: of the module.
        stage: what it computes.
        text: its SystemVerilog, lane included.
        lanes: elements in a cycle.
        latency: cycles from an element to its result.
        constant_bits: bits of all constants of the layer, as they are stored.
        dsp: whether multiplications may take DSP slices.
    """

    name: str
    stage: Graph
    text: str
    lanes: int
    latency: int
    constant_bits: int
    dsp: bool

    @property
    def tiles(self) -> int:
        """Cycles for all channels of one position."""
        return self.stage.inputs[0].shape[0] // self.lanes

    def write(self, folder: Path) -> list[Path]:
        """Write the module into `folder`; returns it and the files of its submodules."""
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / f"{self.name}.sv"
        source.write_text(self.text, encoding="ascii")
        return [*sources_of(*used_in(self.text)), source]

    def run(self, sums: Codes, shortcut: Codes, folder: Path) -> Codes:
        """Simulate in Verilator: (positions, channels) codes to (positions, channels) codes.

        Args:
            sums: codes of the convolution.
            shortcut: codes of the shortcut.
            folder: for the sources.
        """
        sim = compile_module(self.write(folder), self.name)
        tiled = {
            name: Beats(codes.reshape(-1, self.lanes), self._port(name))
            for name, codes in ((SUMS, sums), (SHORTCUT, shortcut))
        }
        tile = np.tile(np.arange(self.tiles), len(sums))[:, np.newaxis]
        inputs = tiled | {"tile": Beats(tile, Lanes.uniform(1, _tile_bits(self.tiles), False))}
        out = Lanes.uniform(self.lanes, _last_width(self.stage))
        result = sim.pipeline(inputs, {"y": out}, latency=self.latency)
        return result["y"].reshape(len(sums), -1)

    def _port(self, name: str) -> Lanes:
        return Lanes.uniform(self.lanes, _input_bits(self.stage)[name])


def build_unit(
    stage: Graph, lanes: int, datapath: str = "khot", *, dsp: bool = True, name: str = "stage"
) -> ElementWiseUnit:
    """Hardware for a stage.

    Args:
        stage: as `element_wise_stage` gives it.
        lanes: elements at once; divides the channels.
        datapath: "khot": shifts and additions, "mul": multiplications.
        dsp: whether multiplications may take DSP slices.
        name: of the Verilog module.

    Raises:
        OptionError: an unknown datapath, or lanes that do not divide the channels.
        TargetError: an operation that a lane cannot do, or factors that are not K-hot.
    """
    channels = stage.inputs[0].shape[0]
    if datapath not in DATAPATHS:
        raise OptionError(f"datapath must be one of {', '.join(DATAPATHS)}, not {datapath!r}")
    if lanes < 1 or channels % lanes:
        raise OptionError(f"lanes must divide the {channels} channels, not be {lanes}")
    writer = _Writer(stage, lanes, datapath, dsp)
    for step in chain(stage):
        writer.add(step)
    text = writer.text(name)
    return ElementWiseUnit(
        name, stage, text, lanes, writer.cycle, writer.constant_bits, dsp and datapath == "mul"
    )


class _Writer:
    """Writes one lane step by step; `cycle` is the register that `self.x` stands in."""

    def __init__(self, stage: Graph, lanes: int, datapath: str, dsp: bool) -> None:
        self.stage, self.lanes, self.khot, self.dsp = stage, lanes, datapath == "khot", dsp
        self.channels = stage.inputs[0].shape[0]
        self.tiles = self.channels // lanes
        self.widths = _input_bits(stage)
        self.x, self.cycle, self.number = SUMS, 0, 0
        self.constant_bits = 0
        self.body: list[str] = []
        self.roms: list[tuple[str, int, list[int]]] = []
        """(name, bits, word of each channel) of the constants."""

    def add(self, step: Step) -> None:
        """One step."""
        if isinstance(step, Cast):
            self._cast(step)
        elif isinstance(step, Join):
            self._join(step)
        elif step.factor is None:
            self._shift(step)
        elif self.khot:
            self._khot(step, step.factor)
        else:
            self._multiply(step, step.factor)

    def text(self, name: str) -> str:
        """The lane and the module around all lanes."""
        tile_bits = _tile_bits(self.tiles)
        parameters = [
            f"    parameter bit [{self.tiles * bits - 1}:0] {rom.upper()} = '0"
            for rom, bits, _ in self.roms
        ]
        lane = _LANE.format(
            name=name, parameters=",\n".join(parameters), tile_top=tile_bits - 1,
            cycles=self.cycle, sums_top=self.widths[SUMS] - 1,
            shortcut_top=self.widths[SHORTCUT] - 1, out_top=_last_width(self.stage) - 1,
            body="\n".join(self.body), result=self.x,
        )  # fmt: skip
        top = [
            f"  {name}_lane #(\n{self._words(lane_number)}\n  ) lane_{lane_number} (\n"
            f"      .clk, .tiles,\n      .sums({_part(SUMS, lane_number, self.widths[SUMS])}),\n"
            f"      .shortcut({_part(SHORTCUT, lane_number, self.widths[SHORTCUT])}),\n"
            f"      .y({_part('y', lane_number, _last_width(self.stage))})\n  );"
            for lane_number in range(self.lanes)
        ]
        return lane + _TOP.format(
            name=name, tile_top=tile_bits - 1, cycles=self.cycle, tile_bits=tile_bits,
            sums_top=self.lanes * self.widths[SUMS] - 1,
            shortcut_top=self.lanes * self.widths[SHORTCUT] - 1,
            out_top=self.lanes * _last_width(self.stage) - 1, body="\n".join(top),
        )  # fmt: skip

    def _words(self, lane: int) -> str:
        rows = []
        for rom, bits, words in self.roms:
            mine = words[lane :: self.lanes]
            value = sum((word & ((1 << bits) - 1)) << (bits * i) for i, word in enumerate(mine))
            rows.append(f"      .{rom.upper()}({self.tiles * bits}'h{value:x})")
        return ",\n".join(rows)

    def _rom(self, kind: str, words: Codes, bits: int, cycle: int) -> str:
        """Wire with the constant of the tile that is at `cycle`."""
        rom = f"{kind}_{self.number}"
        self.roms.append((rom, bits, [int(word) for word in words]))
        self.constant_bits += bits * self.channels
        index = f"tiles[{cycle}]" if self.tiles > 1 else "0"
        self.body.append(
            f"  logic [{bits - 1}:0] {rom};\n"
            f"  assign {rom} = {rom.upper()}[{bits} * 32'({index}) +: {bits}];"
        )
        return rom

    def _new(self, bits: int) -> str:
        self.number += 1
        wire = f"x_{self.number}"
        self.body.append(f"  logic [{bits - 1}:0] {wire};")
        return wire

    def _instance(self, module: str, ports: str, **parameters: int | str) -> None:
        values = ", ".join(f".{key}({value})" for key, value in parameters.items())
        self.body.append(f"  {module} #({values}) step_{len(self.body)} (.clk, {ports});")

    def _delayed(self, source: str, bits: int, cycles: int) -> str:
        if cycles == 0:
            return source
        wire = self._new(bits)
        ports = f".rst(1'b0), .en(1'b1), .d({source}), .q({wire})"
        self._instance("qfx_delay", ports, W=bits, N=cycles)
        return wire

    def _cast(self, step: Cast) -> None:
        y = self._new(step.result)
        self._instance(
            "qfx_cast", f".en(1'b1), .x({self.x}), .block(1'b0), .block_q(1'b0), .y({y})",
            IW=step.width, OW=step.result, SHIFT=step.shift,
            ROUNDING=rounding_number(step.op.rounding), OVERFLOW=overflow_number(step.op.overflow),
        )  # fmt: skip
        self.x, self.cycle = y, self.cycle + 2

    def _join(self, step: Join) -> None:
        other = self._delayed(SHORTCUT, step.other_width, self.cycle)
        first, second = (self.x, step.width), (other, step.other_width)
        if step.x_shift:  # one of the two is on the sum's binary point
            first, second = second, first
        self._sum(first, second, max(step.x_shift, step.other_shift), step.result)

    def _sum(
        self, first: tuple[str, int], second: tuple[str, int], shift: int, result: int
    ) -> None:
        y = self._new(result)
        (a, a_bits), (b, b_bits) = first, second
        self._instance(
            "qfx_add", f".en(1'b1), .a({a}), .b({b}), .y({y})",
            AW=a_bits, BW=b_bits, OFF=shift, SIGNED="1'b1", YW=result,
        )  # fmt: skip
        self.x, self.cycle = y, self.cycle + 1

    def _shift(self, step: Affine) -> None:
        offset = self._rom("offset", step.offset, step.result, self.cycle)
        self._sum((offset, step.result), (self.x, step.width), step.product_shift, step.result)

    def _khot(self, step: Affine, factor: Weight) -> None:
        """A digit and an addition in each cycle; the offset is what the first one adds to."""
        digits = _digits(step, factor)
        sign = f"{self.x}[{step.width - 1}]"
        total = self._rom("offset", step.offset, step.result, self.cycle)
        x, low = self.x, 0
        codes = digits.field()[:, 0]
        for k, slot in enumerate(digits.slots):
            words = (codes >> low) & ((1 << slot.bits) - 1)
            here = self.cycle + k
            digit = self._rom(f"digit{k}", words[: self.channels], slot.bits, here)
            if step.one is not None:
                one = f"{slot.bits}'d{int(words[-1])}"
                digit = f"({sign} ? {digit} : {one})"
            y = self._new(step.result)
            self._instance(
                "qfx_digit_add", f".x({x}), .digit({digit}), .a({total}), .y({y})",
                XW=step.width, SPAN=slot.span, LOW=slot.low + step.product_shift, YW=step.result,
            )  # fmt: skip
            total, low = y, low + slot.bits
            if k + 1 < len(digits.slots):
                x = self._delayed(x, step.width, 1)
                sign = f"{x}[{step.width - 1}]"
        self.x, self.cycle = total, self.cycle + len(digits.slots)

    def _multiply(self, step: Affine, weight: Weight) -> None:
        """A multiplication, and the offset in the next cycle; a PReLU chooses behind it."""
        bits = weight.width
        factors = np.broadcast_to(weight.codes.reshape(-1), (self.channels,))
        factor = self._rom("factor", factors, bits, self.cycle)
        product = self._new(step.width + bits)
        self._instance(
            "qfx_multiply", f".en(1'b1), .a({self.x}), .b({factor}), .y({product})",
            AW=step.width, ASIGNED="1'b1", BW=bits, USE_DSP=f"1'b{int(self.dsp)}",
        )  # fmt: skip
        width = step.width + bits
        if step.one is not None:
            x = self._delayed(self.x, step.width, 1)
            chosen = self._new(width + 1)
            left = step.one.bit_length() - 1
            self.body.append(
                f"  assign {chosen} = {x}[{step.width - 1}] ? {width + 1}'($signed({product})) : "
                f"{width + 1}'($signed({x})) <<< {left};"
            )
            product, width = chosen, width + 1
        self.cycle += 1
        offset = self._rom("offset", step.offset, step.result, self.cycle)
        self._sum((offset, step.result), (product, width), step.product_shift, step.result)


def _digits(step: Affine, factor: Weight) -> SlotDigits:
    """Digits of every channel's factor, and in the last row of 1 where positive x needs it."""
    if factor.k is None:
        raise TargetError(f"{step.op.label}: datapath 'khot' needs K-hot factors, not dense ones")
    codes = factor.codes.reshape(-1, 1)
    if step.one is not None:
        codes = np.concatenate([codes, [[step.one]]])
    return khot_digits(codes, factor.k, factor.digits)


def _input_bits(stage: Graph) -> dict[str, int]:
    heads = {op.inputs[0]: op.output for op in stage if isinstance(op, Quantize)}
    return {name: bits_of(stage.fixed_type(heads[name])) for name in (SUMS, SHORTCUT)}


def _last_width(stage: Graph) -> int:
    op = stage.producer(stage.outputs[0])
    return op.width if isinstance(op, Quantize) else bits_of(stage.fixed_type(op.output))


def _tile_bits(tiles: int) -> int:
    return max(1, (tiles - 1).bit_length())


def _part(port: str, lane: int, bits: int) -> str:
    return f"{port}[{lane * bits} +: {bits}]"


_LANE = """\
// One lane of an element-wise stage. Written by QFX.
module {name}_lane #(
{parameters}
) (
    input  logic clk,
    input  logic [{cycles}:0][{tile_top}:0] tiles,  // the tile at each cycle of the pipeline
    input  logic [{sums_top}:0] sums,
    input  logic [{shortcut_top}:0] shortcut,
    output logic [{out_top}:0] y
);
{body}
  assign y = {result};
endmodule
"""

_TOP = """\

// An element-wise stage: an element of each lane in every cycle, {cycles} cycles later its result.
module {name} (
    input  logic clk,
    input  logic [{tile_top}:0] tile,
    input  logic [{sums_top}:0] sums,
    input  logic [{shortcut_top}:0] shortcut,
    output logic [{out_top}:0] y
);
  logic [{cycles}:0][{tile_top}:0] tiles;
  assign tiles[0] = tile;
  always_ff @(posedge clk) tiles[{cycles}:1] <= tiles[{cycles}-1:0];
{body}
endmodule
"""
