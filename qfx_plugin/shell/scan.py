"""The smallest link between a host and a network: a chain of flip-flops before it and one behind.

It carries no protocol and needs few places, so that what a design with it reaches is the network's;
and every bit of it can be driven from outside: `scan_samples` sends samples through the pins of a
whole design, such as a netlist that was mapped to a device's cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..rtl.graph.kernel import PortTensor
from ..simulation import Beats, Codes, Lanes, Simulation
from .core import CorePorts
from .open_top import AWAKE, NETWORK, BoardLink

AWAITED = AWAKE - 1 - 8
"""Cycles of `Simulation.pipeline` until the first beat begins; its reset takes eight."""

DELAYS = 64
"""Most beats from a sample to its result."""


def scan_link(ports: CorePorts, interval: int = 1) -> BoardLink:
    """A link that shifts codes in by rx and out by tx, a bit in every cycle, the highest first.

    Every `scan_period` cycles the inputs get a beat, of the bits that came last, and what
    the outputs gave last begins to go out.

    Args:
        ports: of the network.
        interval: cycles that it needs for a beat, at most.
    """
    come, go = _bits(ports)
    period = scan_period(ports, interval)
    size = max(period.bit_length(), 1)
    body = [
        f"  reg [{come}:0] shift_in; reg [{come - 1}:0] x;",
        f"  reg [{go}:0] shift_out; reg [{go - 1}:0] y; wire [{go - 1}:0] result;",
        f"  reg [{size - 1}:0] phase;",
        f"  wire beat = phase == {size}'d{period - 1};",
        "  always @(posedge clk) begin",
        f"    shift_in <= {{shift_in[{come - 1}:0], rx}};",
        f"    phase <= rst | beat ? {size}'d0 : phase + 1'b1;",
        f"    if (beat) x <= shift_in[{come - 1}:0];",
        f"    shift_out <= beat ? {{1'b0, y}} : {{shift_out[{go - 1}:0], 1'b0}};",
        "  end",
        f"  assign tx = shift_out[{go - 1}];",
    ]
    connections = ["    .clk(clk)"]
    if ports.streaming:
        connections.append("    .rst(rst)")
    for side, tensors in (("x", ports.inputs), ("result", ports.outputs)):
        offset = 0
        for tensor in tensors:
            bits = ports.lanes(tensor).bits
            part = f"[{offset + bits - 1}:{offset}]"
            lines, pins = _stream(tensor.port, side, part) if ports.streaming else ([], [])
            if not ports.streaming:
                pins = [f"    .{tensor.port}({side}{part})"]
            body += lines
            connections += pins
            offset += bits
    if not ports.streaming:
        body.append("  always @(posedge clk) y <= result;")
    text = (
        f"// {ports.name} between two chains of flip-flops. Written by QFX.\n"
        "module qfx_scan (input clk, input rst, input rx, output tx);\n"
        + "\n".join(body)
        + f"\n  {ports.name} {NETWORK} (\n"
        + ",\n".join(connections)
        + "\n  );\nendmodule\n"
    )
    return BoardLink("qfx_scan", {"qfx_scan.v": text})


def scan_period(ports: CorePorts, interval: int = 1) -> int:
    """Cycles from beat to beat of `scan_link`."""
    return max(*_bits(ports), interval)


def scans(ports: CorePorts) -> bool:
    """Whether a beat is a whole sample on both sides, so that `scan_samples` can follow it."""
    tensors = (*ports.inputs, *ports.outputs)
    return not ports.streaming or all(tensor.beats == 1 for tensor in tensors)


def scan_samples(
    top: Simulation, ports: CorePorts, interval: int, inputs: Mapping[str, Codes],
    expected: Mapping[str, Codes],
) -> dict[str, Codes]:  # fmt: skip
    """Send samples through the pins of a whole design around `scan_link`.

    Nothing on the way tells which sample a result belongs to, so that results are taken with the
    delay, in beats, at which most of them are what is expected. Samples that are equal, or few,
    prove less.

    Args:
        top: the simulated module `open_top.TOP`.
        ports: of the network.
        interval: as for `scan_link`.
        inputs: (samples, ...) codes by name of tensor.
        expected: the same of the outputs.

    Returns:
        (samples, ...) codes by name of output.
    """
    period, (come, go) = scan_period(ports, interval), _bits(ports)
    sent = _rows(ports, ports.inputs, inputs)
    beats = len(sent) + DELAYS
    wire = np.zeros(AWAITED + (beats + 1) * period, dtype=np.int64)
    for number, row in enumerate(sent):
        end = AWAITED + (number + 1) * period
        wire[end - come : end] = row[::-1]
    one = Lanes((1,), (False,))
    found = top.pipeline({"rx": Beats(wire[:, np.newaxis], one)}, {"tx": one}, latency=1)["tx"]
    wanted = _rows(ports, ports.outputs, expected)
    best = max(
        (_taken(found[:, 0], period, go, first, len(sent)) for first in range(1, DELAYS)),
        key=lambda rows: int((rows == wanted).all(axis=1).sum()),
    )
    return _codes(ports, best, {name: codes.shape for name, codes in expected.items()})


def _taken(
    wire: NDArray[np.int64], period: int, bits: int, first: int, samples: int
) -> NDArray[np.int64]:
    """(samples, bits), the lowest bit first, of what goes out from beat `first` on."""
    start = AWAITED + first * period + np.arange(samples) * period
    taken: NDArray[np.int64] = wire[start[:, np.newaxis] + np.arange(bits)][:, ::-1]
    return taken


def _rows(
    ports: CorePorts, tensors: Sequence[PortTensor], codes: Mapping[str, Codes]
) -> NDArray[np.int64]:
    """(samples, bits) of all tensors side by side, the lowest bit first."""
    flat = [codes[tensor.name].reshape(len(codes[tensor.name]), -1) for tensor in tensors]
    lanes = ports.all_lanes(tensors)
    words = np.ascontiguousarray(lanes.pack(np.concatenate(flat, axis=1)), dtype="<u4")
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return bits[:, : lanes.bits].astype(np.int64)


def _codes(
    ports: CorePorts, rows: NDArray[np.int64], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Codes]:
    """The opposite of `_rows` for the outputs."""
    lanes = ports.all_lanes(ports.outputs)
    bits = np.zeros((len(rows), 32 * lanes.words), dtype=np.uint8)
    bits[:, : lanes.bits] = rows
    words = np.packbits(bits, axis=1, bitorder="little").view("<u4").astype(np.uint32)
    codes, start, found = lanes.unpack(words), 0, {}
    for tensor in ports.outputs:
        count = len(ports.lanes(tensor).widths)
        found[tensor.name] = codes[:, start : start + count].reshape(shapes[tensor.name])
        start += count
    return found


def _bits(ports: CorePorts) -> tuple[int, int]:
    """Of a beat of all inputs, and of all outputs."""
    return ports.all_lanes(ports.inputs).bits, ports.all_lanes(ports.outputs).bits


def _stream(port: str, side: str, part: str) -> tuple[list[str], list[str]]:
    """Lines, and connections, of one stream."""
    if side == "x":
        lines = [
            f"  reg {port}_valid; wire {port}_ready;",
            "  always @(posedge clk)",
            f"    if (rst) {port}_valid <= 1'b0; else if (beat) {port}_valid <= 1'b1;",
            f"    else if ({port}_ready) {port}_valid <= 1'b0;",
        ]
        wires = {"tdata": f"x{part}", "tvalid": f"{port}_valid", "tready": f"{port}_ready"}
    else:
        lines = [
            f"  wire {port}_valid;",
            f"  always @(posedge clk) if ({port}_valid) y{part} <= result{part};",
        ]
        wires = {"tdata": f"result{part}", "tvalid": f"{port}_valid", "tready": "1'b1"}
    return lines, [f"    .{port}_{wire}({name})" for wire, name in wires.items()]
