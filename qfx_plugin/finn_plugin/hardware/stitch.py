"""All units of a model connected by FIFOs, as one Verilog module, for simulation.

    design = assemble(model, part, clock_ns)       # width converters and FIFOs in between
    stitched = Stitched(design, simulation, folder)
    run = stitched.run(inputs, contract)           # codes, cycles, how full the FIFOs were

Vivado connects the same units by block design; here a module is written instead, that Verilator
reads. FINN's FIFO is simulated in its unbounded form to see how deep it must be, and as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...ir import FixedTensor
from .. import adapter
from ..contract import Contract
from ..model import tensors
from .convert import connect, require_rtl
from .rtlsim import VerilatorEngine

TOP = "qfx_stitched"
FIFO = "StreamingFIFO_rtl"
_PLACE = "finn.transformation.fpgadataflow"
_PORT = re.compile(r"^\s*(input|output)\s+(?:wire\s+|logic\s+)?(\[[^\]]+\])?\s*(\w+)", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class StitchedRun:
    """What a simulation of several frames gave.

    Attributes:
        outputs: (frames, *shape) codes with their binary points, by output of the network.
        cycles: from the end of reset to the last beat.
        latency: from the end of reset to the first frame's last beat.
        interval: cycles from a frame's last beat to the next one's, at the end of the run; the
            latency if there was one frame only.
        fill: largest number of beats in each FIFO, by name of the node.
    """

    outputs: dict[str, FixedTensor]
    cycles: int
    latency: int
    interval: int
    fill: dict[str, int]


def assemble(model: Any, part: str, clock_ns: float) -> Any:
    """Put width converters and FIFOs between the units, and generate all Verilog.

    Args:
        model: specialised and folded.
        part: FPGA part.
        clock_ns: clock period.

    Raises:
        TargetError: a unit is no RTL.
    """
    general = adapter.module("qonnx.transformation.general")
    with adapter.quiet():
        queues = adapter.module(f"{_PLACE}.insert_fifo").InsertFIFO(create_shallow_fifos=True)
        model = connect(model, part, queues).transform(general.GiveReadableTensorNames())
        require_rtl(model)
        return model.transform(adapter.module(f"{_PLACE}.prepare_ip").PrepareIP(part, clock_ns))


def fifos(model: Any) -> Iterator[tuple[Any, Any]]:
    """Nodes and operations of the FIFOs, in order."""
    for node in model.graph.node:
        if node.op_type == FIFO:
            yield node, adapter.op_of(node)


class Stitched:
    """A compiled design.

    Args:
        model: from `assemble`.
        simulation: module that compiles and runs Verilog; see `rtlsim.VerilatorEngine`.
        folder: for the top module.
        unbounded: FIFOs that hold any number of beats, to measure how many they must hold.
    """

    def __init__(
        self, model: Any, simulation: Any, folder: Path, *, unbounded: bool = False
    ) -> None:
        self.model, self.simulation = model, simulation
        self.ops = [adapter.op_of(node) for node in model.graph.node]
        self.fifos = [op for op in self.ops if op.onnx_node.op_type == FIFO]
        folder.mkdir(parents=True, exist_ok=True)
        top = folder / f"{TOP}.v"
        top.write_text(self._top(), encoding="ascii")
        files = [str(path) for op in self.ops for path in op.get_rtl_file_list(abspath=True)]
        engine = VerilatorEngine(simulation)
        base, relative = engine.compile(
            TOP, [*files, str(top)], folder, behav=unbounded, shared=False
        )
        self.sim = engine.load(base, relative)

    def run(
        self,
        inputs: Mapping[str, ArrayLike],
        contract: Contract,
        *,
        pace: int = 1,
        patience: int = 100_000,
        **pauses: Any,
    ) -> StitchedRun:
        """Simulate frames back to back.

        Args:
            inputs: (frames, *shape) floats by input of the network.
            contract: meaning of the streams.
            pace: cycles from one input beat to the next.
            patience: cycles without a transfer after which the design counts as stuck.
            pauses: `idle` and `backpressure` of the simulation.

        Raises:
            VerificationError: the design is stuck.
        """
        streams = contract.encode(inputs)
        frames = len(streams[0])
        beats = self.simulation.Beats
        feeds = {}
        for index, (tensor, stream) in enumerate(zip(self.model.graph.input, streams, strict=True)):
            lanes, per_beat = self._lanes(tensor.name, outgoing=False)
            codes = stream.reshape(-1, per_beat)
            pad = len(lanes.widths) - per_beat
            feeds[f"in{index}_V"] = beats(np.pad(codes, ((0, 0), (0, pad))), lanes)
        wanted, counts, sizes = {}, [], []
        for index, tensor in enumerate(self.model.graph.output):
            lanes, per_beat = self._lanes(tensor.name, outgoing=True)
            counts.append(prod(self.model.get_tensor_shape(tensor.name)) // per_beat)
            sizes.append(per_beat)
            wanted[f"out{index}_V"] = self.simulation.Expect(frames * counts[-1], lanes)
        gauge = self.simulation.Lanes.uniform(len(self.fifos), 32, signed=False)
        wanted["gauge"] = self.simulation.Expect(1, gauge)
        if pace > 1:
            pauses = {**pauses, "idle": [False, *[True] * (pace - 1)]}
        result = self.sim.stream(
            feeds, wanted, patience=patience, drain=0,
            constants={"gauge_after": frames * counts[0]}, **pauses,
        )  # fmt: skip
        outputs = [
            result.outputs[f"out{index}_V"][:, :size].reshape(frames, *port.stream_shape)
            for index, (size, port) in enumerate(zip(sizes, contract.outputs, strict=True))
        ]
        ends = result.produced["out0_V"][counts[0] - 1 :: counts[0]]
        return StitchedRun(
            outputs=tensors(contract, outputs),
            cycles=int(result.produced["out0_V"][-1]) + 1,
            latency=int(ends[0]) + 1,
            interval=int(ends[-1] - ends[-2]) if frames > 1 else int(ends[0]) + 1,
            fill={
                op.onnx_node.name: int(fill)
                for op, fill in zip(self.fifos, result.outputs["gauge"][0], strict=True)
            },
        )

    def _lanes(self, tensor: str, *, outgoing: bool) -> tuple[Any, int]:
        """Lanes of an outer stream, and the elements in a beat."""
        if outgoing:
            node = self.model.find_producer(tensor)
            place = list(node.output).index(tensor)
        else:
            node = self.model.find_consumer(tensor)
            place = list(node.input).index(tensor)
        op = next(op for op in self.ops if op.onnx_node.name == node.name)
        shape = op.get_folded_output_shape(place) if outgoing else op.get_folded_input_shape(place)
        kind = op.get_output_datatype(place) if outgoing else op.get_input_datatype(place)
        pad = -shape[-1] * kind.bitwidth() % 8
        widths = [kind.bitwidth()] * shape[-1] + ([pad] if pad else [])
        signs = [kind.signed()] * shape[-1] + ([False] if pad else [])
        return self.simulation.Lanes(tuple(widths), tuple(signs)), shape[-1]

    def _top(self) -> str:
        model, ports, wires, cells = self.model, [], [], []
        sources = {tensor.name: f"in{i}_V" for i, tensor in enumerate(model.graph.input)}
        sinks = {tensor.name: f"out{i}_V" for i, tensor in enumerate(model.graph.output)}
        names: dict[str, str] = {**sources, **sinks}
        for number, op in enumerate(self.ops):
            node, streams = op.onnx_node, {}
            for i, tensor in enumerate(node.input):
                names.setdefault(tensor, f"s{len(names)}")
                streams[f"in{i}_V"] = names[tensor]
                if tensor in sources:
                    ports.append(_stream(names[tensor], op.get_instream_width_padded(i), True))
            for i, tensor in enumerate(node.output):
                names.setdefault(tensor, f"s{len(names)}")
                streams[f"out{i}_V"] = names[tensor]
                width = op.get_outstream_width_padded(i)
                if tensor in sinks:
                    ports.append(_stream(names[tensor], width, False))
                else:
                    wires.append(_wires(names[tensor], width))
            cells.append(_cell(op, f"u{number}", streams))
        gauges = [f"maxcount_{op.onnx_node.name}" for op in self.fifos]
        wires += [f"  wire [31:0] {name};" for name in gauges]
        return _TOP.format(
            top=TOP,
            ports=",\n".join(ports),
            wires="\n".join(wires),
            cells="\n".join(cells),
            gauges=", ".join(reversed(gauges)),
            gauge_top=32 * len(gauges) - 1,
        )


def _stream(name: str, width: int, incoming: bool) -> str:
    flows, stops = ("input", "output") if incoming else ("output", "input")
    return (
        f"  {flows} [{width - 1}:0] {name}_TDATA,\n"
        f"  {flows} {name}_TVALID,\n  {stops} {name}_TREADY"
    )


def _wires(name: str, width: int) -> str:
    return f"  wire [{width - 1}:0] {name}_TDATA;\n  wire {name}_TVALID, {name}_TREADY;"


def _cell(op: Any, instance: str, streams: Mapping[str, str]) -> str:
    """An instance; inputs that are no stream, such as of registers, are tied to 0."""
    top = op.get_nodeattr("gen_top_module")
    pins = [".ap_clk(ap_clk)", ".ap_rst_n(ap_rst_n)"]
    for port, name in streams.items():
        pins += [f".{port}_{part}({name}_{part})" for part in ("TDATA", "TVALID", "TREADY")]
    if op.onnx_node.op_type == FIFO:
        pins.append(f".maxcount(maxcount_{op.onnx_node.name})")
    taken = {pin.split("(")[0][1:] for pin in pins}
    for path in op.get_rtl_file_list(abspath=True):
        text = Path(path).read_text(encoding="utf-8") if Path(path).suffix == ".v" else ""
        if re.search(rf"\bmodule\s+{top}\b", text):
            inputs = {name for way, _, name in _PORT.findall(text) if way == "input"}
            pins += [f".{name}('0)" for name in sorted(inputs - taken)]
    return f"  {top} {instance} (\n    " + ",\n    ".join(pins) + "\n  );"


_TOP = """\
module {top} (
  input ap_clk,
  input ap_rst_n,
  input [31:0] gauge_after,
  output [{gauge_top}:0] gauge_tdata,
  output reg gauge_tvalid,
  input gauge_tready,
{ports}
);
{wires}
{cells}

  // Once gauge_after beats have left, one beat with the largest fill of every FIFO.
  reg [31:0] left;
  reg given;
  assign gauge_tdata = {{{gauges}}};
  wire leaves = out0_V_TVALID && out0_V_TREADY;
  always @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      left <= 0;
      given <= 0;
      gauge_tvalid <= 0;
    end else begin
      if (leaves) left <= left + 1;
      if (!given && left == gauge_after) begin
        given <= 1;
        gauge_tvalid <= 1;
      end else if (gauge_tready) gauge_tvalid <= 0;
    end
  end
endmodule
"""
