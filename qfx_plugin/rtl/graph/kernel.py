"""One adder graph: operations from some integer tensors to others, as a Verilog module.

The module has a port for each tensor; a port holds the codes of its tensor, element after element
in row-major order, the first in the lowest bits, each in the width that its proven range needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from ...ir import FixedType, Op
from ...simulation.lanes import Lanes
from . import alkaid_adapter as adder_graph
from .lower import Symbols, lower


@dataclass(frozen=True)
class GraphOptions:
    """How an adder graph is built.

    Attributes:
        latency: clock cycles from input to output; 0 makes it combinational. One value of
            `latency` and `adders_per_stage` must be None.
        adders_per_stage: longest chain of additions between two registers; the latency follows.
        effort: how many levels of additions the solver may add to a layer in order to save
            additions; -1 for no limit, 0 for the shortest chains.
    """

    latency: int | None = None
    adders_per_stage: float | None = 4.0
    effort: int = 2

    def __post_init__(self) -> None:
        if (self.latency is None) == (self.adders_per_stage is None):
            raise OptionError(
                "exactly one of latency and adders_per_stage must be given, not "
                f"latency={self.latency} and adders_per_stage={self.adders_per_stage}"
            )
        if self.latency is not None and not 0 <= self.latency <= 1000:
            raise OptionError(f"latency must be 0 to 1000 cycles, not {self.latency}")
        if self.adders_per_stage is not None and not self.adders_per_stage >= 1:
            raise OptionError(f"adders_per_stage must be at least 1, not {self.adders_per_stage}")
        if not -1 <= self.effort <= 100:
            raise OptionError(f"effort must be -1 to 100, not {self.effort}")


@dataclass(frozen=True)
class PortTensor:
    """A tensor at the border of a kernel.

    Attributes:
        name: its name in the intermediate model.
        kind: its type.
        port: name of its Verilog port.
    """

    name: str
    kind: FixedType
    port: str

    @property
    def lanes(self) -> Lanes:
        """Lanes of a port that holds the whole tensor."""
        return code_lanes(self.kind)

    @property
    def beats(self) -> int:
        """Beats of a stream that carries one position in each."""
        return prod(self.kind.shape[1:])

    @property
    def beat_lanes(self) -> Lanes:
        """Lanes of one beat of such a stream: the channels of one position."""
        lanes, step = self.lanes, self.beats
        return Lanes(lanes.widths[::step], lanes.signed[::step])


@dataclass(frozen=True, eq=False)
class Kernel:
    """A Verilog module with what is needed to run it.

    Attributes:
        name: of the top module.
        files: text of each Verilog file, by file name.
        inputs: its input ports.
        outputs: its output ports.
        latency: clock cycles from input to output; 0 if combinational; a new sample every cycle.
        adders: additions and subtractions.
        cost: the compiler's own estimate, in LUTs.
        depth: longest chain of additions.
        program: what the compiler's own interpreter runs.
    """

    name: str
    files: dict[str, str]
    inputs: tuple[PortTensor, ...]
    outputs: tuple[PortTensor, ...]
    latency: int
    adders: int
    cost: float
    depth: float
    program: Any

    def emulate(self, codes: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
        """Run the adder graph in software: (batch, *shape) codes by tensor name, to the same."""
        batch = len(next(iter(codes.values())))
        values = [_values(codes[t.name], t.kind) for t in self.inputs]
        flat = adder_graph.predict(self.program, np.concatenate(values, axis=1))
        ends = np.cumsum([prod(tensor.kind.shape) for tensor in self.outputs])[:-1]
        parts = zip(self.outputs, np.split(flat, ends, axis=1), strict=True)
        return {t.name: _codes(part, t.kind).reshape(batch, *t.kind.shape) for t, part in parts}


def code_lanes(kind: FixedType) -> Lanes:
    """Lanes for the codes of a tensor: what each channel's proven range needs, at least one bit."""
    per_channel = prod(kind.shape) // kind.low.size
    widths, signs = [], []
    for low, high in zip(map(int, kind.low), map(int, kind.high), strict=True):
        signed = low < 0
        bits = max(high.bit_length(), (-low - 1).bit_length() if signed else 0) + signed
        widths += [max(bits, 1)] * per_channel
        signs += [signed] * per_channel
    return Lanes(tuple(widths), tuple(signs))


def build_kernel(
    ops: Sequence[Op],
    types: Mapping[str, Any],
    inputs: Sequence[PortTensor],
    outputs: Sequence[PortTensor],
    name: str,
    options: GraphOptions,
) -> Kernel:
    """Lower operations and write their Verilog.

    Args:
        ops: in topological order; they read `inputs`, constants and each other.
        types: type of every tensor.
        inputs: integer tensors that come from outside.
        outputs: tensors to return.
        name: of the top module, a Verilog identifier.
        options: pipelining and effort.

    Raises:
        TargetError: an operation cannot be expressed exactly.
        ToolMissingError: alkaid is not installed.
    """
    symbols = {tensor.name: _sources(tensor.kind, options.effort) for tensor in inputs}
    arguments = [symbol for tensor in inputs for symbol in symbols[tensor.name].reshape(-1)]
    for op in ops:
        operands = [symbols[tensor] for tensor in op.inputs]
        symbols[op.output] = lower(op, operands, types[op.output], options.effort)
    results = [symbol for tensor in outputs for symbol in symbols[tensor.name].reshape(-1)]
    design, program = adder_graph.compile_design(
        arguments,
        results,
        f"{name}_graph",
        stages=options.latency,
        adders_per_stage=options.adders_per_stage,
    )
    top = _wrapper(name, design, inputs, outputs)
    return Kernel(
        name,
        {f"{name}.v": top, **design.files},
        tuple(inputs),
        tuple(outputs),
        design.latency,
        design.adders,
        design.cost,
        design.depth,
        program,
    )


def _sources(kind: FixedType, effort: int) -> Symbols:
    per_channel = prod(kind.shape) // kind.low.size
    step = np.repeat(np.ldexp(1.0, -kind.frac_bits), per_channel)
    low, high = (
        np.repeat(end.astype(np.float64), per_channel) * step for end in (kind.low, kind.high)
    )
    return adder_graph.sources(low, high, step, effort).reshape(kind.shape)


def _values(codes: NDArray[np.int64], kind: FixedType) -> NDArray[np.float64]:
    """(batch, *shape) codes to (batch, elements) values."""
    flat = codes.reshape(len(codes), -1).astype(np.float64)
    return np.ldexp(flat, -element_points(kind))


def _codes(values: NDArray[np.float64], kind: FixedType) -> NDArray[np.int64]:
    return np.ldexp(values, element_points(kind)).astype(np.int64)


def element_points(kind: FixedType) -> NDArray[np.int64]:
    """(elements,) int64: the binary point of each element of a tensor."""
    return np.repeat(kind.frac_bits, prod(kind.shape) // kind.frac_bits.size)


def _wrapper(
    name: str,
    design: adder_graph.AdderGraphVerilog,
    inputs: Sequence[PortTensor],
    outputs: Sequence[PortTensor],
) -> str:
    """The module with a port per tensor around the one that the compiler wrote."""
    ports = ["input  wire clk"] if design.latency else []
    for direction, tensors in (("input ", inputs), ("output", outputs)):
        ports += [f"{direction} wire [{t.lanes.bits - 1}:0] {t.port}" for t in tensors]
    clock = ".clk(clk), " if design.latency else ""
    connections = f"{clock}.model_inp(model_inp), .model_out(model_out)"
    wide = max(design.inputs.bits, 1), max(design.outputs.bits, 1)
    lines = [
        f"module {name} (",
        "    " + ",\n    ".join(ports),
        ");",
        "    // verilator lint_off UNUSEDSIGNAL",
        f"    wire [{wide[0] - 1}:0] model_inp;",
        f"    wire [{wide[1] - 1}:0] model_out;",
        "    // verilator lint_on UNUSEDSIGNAL",
        *_wire(inputs, design.inputs, design.input_shifts, inward=True),
        *_wire(outputs, design.outputs, design.output_shifts, inward=False),
        f"    {design.top} graph ({connections});",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _wire(
    tensors: Sequence[PortTensor], graph: Lanes, shifts: Sequence[int], *, inward: bool
) -> list[str]:
    """Connect the codes of each element to the compiler's lane for it."""
    lines = []
    graph_low = 0
    lane = 0
    for tensor in tensors:
        low = 0
        points = element_points(tensor.kind)
        for width, signed, point in zip(*_columns(tensor.lanes), points, strict=True):
            own = f"{tensor.port}", low, width, signed
            other = "model_inp" if inward else "model_out", graph_low, graph.widths[lane]
            other_sign = graph.signed[lane]
            move = shifts[lane] + int(point)
            if inward and graph.widths[lane]:
                lines.append(assign_lane((*other, other_sign), own, -move))
            elif not inward:
                lines.append(assign_lane(own, (*other, other_sign), move))
            low += width
            graph_low += graph.widths[lane]
            lane += 1
    return lines


def _columns(lanes: Lanes) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    return lanes.widths, lanes.signed


def assign_lane(
    target: tuple[str, int, int, bool], source: tuple[str, int, int, bool], shift: int
) -> str:
    """`target = source << shift`, sign extended; a lane is (vector, low bit, width, sign)."""
    to, to_low, to_width, _ = target
    frm, low, width, signed = source
    kept = min(width + min(shift, 0), to_width - max(shift, 0))
    first = low + max(-shift, 0)
    parts = []
    if width and kept > 0:
        fill = to_width - kept - max(shift, 0)
        sign = f"{frm}[{low + width - 1}]" if signed else "1'b0"
        parts += [f"{{{fill}{{{sign}}}}}"] if fill else []
        parts += [f"{frm}[{first + kept - 1}:{first}]"]
        parts += [f"{shift}'d0"] if shift > 0 else []
    else:
        parts = [f"{to_width}'d0"]
    text = parts[0] if len(parts) == 1 else f"{{{', '.join(parts)}}}"
    return f"    assign {to}[{to_low + to_width - 1}:{to_low}] = {text};"
