"""Statements that a module in Verilog equals a definition, for all codes of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from ..ir import FixedType, Op
from ..ir.types import Codes
from ..rtl.graph.kernel import PortTensor
from .circuit import Circuit, Number, constant
from .definition import Numbers, define, numbers_in
from .solver import Statement

TOP = "qfx_proof"

MOST_GROUPS = 64
"""Of codes that are proven apart: each is a small part of the network, and soon decided."""


def equality(
    name: str,
    module: str,
    files: Mapping[str, str],
    inputs: Sequence[PortTensor],
    outputs: Sequence[PortTensor],
    ops: Sequence[Op],
    types: Mapping[str, FixedType],
    latency: int = 0,
) -> Statement:
    """That a module with a port for each tensor computes what operations are defined as.

    Args:
        name: for messages.
        module: name of the module.
        files: text of its sources and memories.
        inputs: tensors that come in; their codes lie in the proven ranges.
        outputs: tensors that go out.
        ops: operations from the one to the other, in order.
        types: type of every tensor.
        latency: registers on every path through the module.
    """
    circuit = Circuit()
    numbers: dict[str, Numbers] = {}
    within: list[str] = []
    for tensor in inputs:
        lanes = _lanes(circuit, tensor)
        within += _limits(circuit, tensor, lanes)
        numbers[tensor.name] = _within(tensor, lanes)
    for op in ops:
        operands = [numbers[name] for name in op.inputs]
        numbers[op.output] = define(circuit, op, operands, types[op.output])
    wrong = [
        f"({circuit.later(want, latency).text} != {got.text})"
        for tensor in outputs
        for want, got in zip(numbers[tensor.name].reshape(-1), _lanes(circuit, tensor), strict=True)
    ]
    for _ in range(latency):
        within = [circuit.next_flag(flag) for flag in within]
    groups = {f"wrong{at}": wrong[at::MOST_GROUPS] for at in range(min(len(wrong), MOST_GROUPS))}
    order = _bit_order(inputs)
    text = _TOP.format(
        top=len(order) - 1,
        module=module,
        clock=".clk(clk), " if latency else "",
        wires="\n  ".join(_wires(inputs, outputs, order)),
        connections=", ".join(f".{t.port}({t.port})" for t in (*inputs, *outputs)),
        lines="\n  ".join(circuit.lines),
        within=" && ".join(within) or "1'b1",
        outputs="".join(f", output wire {output}" for output in groups),
        wrong="\n  ".join(
            f"assign {output} = allowed && ({' || '.join(flags)});"
            for output, flags in groups.items()
        ),
    )
    return Statement(name, TOP, {**files, f"{TOP}.sv": text}, latency=latency, wrong=tuple(groups))


_TOP = """\
module qfx_proof (input wire clk, input wire [{top}:0] bits{outputs});
  {wires}
  {module} made ({clock}{connections});
  {lines}
  wire allowed = {within};
  {wrong}
endmodule
"""


def _bit_order(inputs: Sequence[PortTensor]) -> list[tuple[str, int]]:
    """Bits of the ports, those of the lowest value first: in that order sums have small diagrams.

    A sum's bit follows from the bits of its operands below it and the carry, which is a small
    number; with one operand after the other it would follow from all of each at once.
    """
    found = []
    for tensor in inputs:
        first = 0
        for width, (_, _, point) in zip(tensor.lanes.widths, _ranges(tensor), strict=True):
            found += [(bit - point, tensor.port, first + bit) for bit in range(width)]
            first += width
    return [(port, bit) for _, port, bit in sorted(found, key=lambda entry: entry[0])]


def _wires(
    inputs: Sequence[PortTensor], outputs: Sequence[PortTensor], order: Sequence[tuple[str, int]]
) -> list[str]:
    lines = [f"wire [{t.lanes.bits - 1}:0] {t.port};" for t in (*inputs, *outputs)]
    lines += [f"assign {port}[{bit}] = bits[{at}];" for at, (port, bit) in enumerate(order)]
    return lines


def port_words(inputs: Sequence[PortTensor], bits: int) -> dict[str, int]:
    """The word of each port from the input `bits` of the statement."""
    words = dict.fromkeys((tensor.port for tensor in inputs), 0)
    for at, (port, bit) in enumerate(_bit_order(inputs)):
        words[port] |= (bits >> at & 1) << bit
    return words


def codes_of(tensor: PortTensor, word: int) -> Codes:
    """Codes of a port's tensor from the bits of the port, as one number."""
    codes, lanes = [], tensor.lanes
    for width, signed in zip(lanes.widths, lanes.signed, strict=True):
        code, word = word & ((1 << width) - 1), word >> width
        codes.append(code - (1 << width) if signed and code >> (width - 1) else code)
    return np.array(codes, dtype=np.int64).reshape(tensor.kind.shape)


def _lanes(circuit: Circuit, tensor: PortTensor) -> list[Number]:
    """The codes of a port, whatever its bits are."""
    found, first = [], 0
    for width, signed in zip(tensor.lanes.widths, tensor.lanes.signed, strict=True):
        found.append(circuit.lane(tensor.port, first, width, signed))
        first += width
    return found


def _ranges(tensor: PortTensor) -> list[tuple[int, int, int]]:
    """(low, high, point) of each element."""
    kind = tensor.kind
    each = prod(kind.shape) // kind.low.size
    columns = zip(kind.low, kind.high, kind.frac_bits, strict=True)
    return [(int(low), int(high), int(point)) for low, high, point in columns for _ in range(each)]


def _limits(circuit: Circuit, tensor: PortTensor, lanes: Sequence[Number]) -> list[str]:
    """Flags that codes lie in the proven range, where a lane can hold others."""
    found = []
    for lane, (low, high, _) in zip(lanes, _ranges(tensor), strict=True):
        if lane.low < low:
            found.append(circuit.flag(f"!{circuit.exceeds(constant(low), lane)}"))
        if lane.high > high:
            found.append(circuit.flag(f"!{circuit.exceeds(lane, constant(high))}"))
    return found


def _within(tensor: PortTensor, lanes: Sequence[Number]) -> Numbers:
    """The codes as numbers of their proven range."""
    ranges = zip(lanes, _ranges(tensor), strict=True)
    numbers = [Number(lane.text, low, high, point) for lane, (low, high, point) in ranges]
    return numbers_in(numbers, tensor.kind.shape)
