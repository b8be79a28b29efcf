"""A recurrent network in hardware: one step as an adder graph, and the state in registers.

    step(x, h, c) -> h', c'          build_recurrent(step, {"h": "h_next", "c": "c_next"})

The step is compiled once, however long the sequences are. A beat of the input stream is one step;
the one marked as last ends a sequence, and the state is zero again. A step takes the latency of the
adder graph and two more cycles, since the next one needs its state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, TargetError
from ..ir import FixedTensor, Graph, Input, interpret
from ..ir.compare import Tally
from ..simulation import Beats, Expect, Pattern
from ..simulation.lanes import Lanes
from .graph.kernel import PortTensor, element_points
from .network import RtlNetwork, Vectors
from .options import RtlOptions
from .ports import entry_codes
from .stream.wiring import remap_lanes
from .unrolled import build_unrolled, top_name

STEPS = 8
"""Of a sequence, where samples that follow each other are taken for its steps."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RecurrentNetwork(RtlNetwork):
    """A step with its state in registers; `graph` is the network of one step.

    `inputs` are what each step is given, side by side in the stream `s`; `outputs` what it gives,
    side by side in the stream `m`; `interval` is that of a step.

    Attributes:
        step: the adder graph of one step.
        states: by the name of an input of the step, the output that is its next value.
    """

    step: RtlNetwork
    states: Mapping[str, str]

    def run(
        self,
        inputs: Mapping[str, ArrayLike] | ArrayLike,
        *,
        idle: Pattern = 0.0,
        backpressure: Pattern = 0.0,
        seed: int = 0,
        waveform: Path | None = None,
    ) -> dict[str, FixedTensor]:
        """Simulate whole sequences, each from a state of zero.

        Args:
            inputs: (sequences, steps, *shape) values by name, or one array.
            idle: pauses of the input; see `Simulation.stream`.
            backpressure: pauses of the output.
            seed: of random pauses and of the registers' first contents.
            waveform: VCD file to write; use few steps.

        Returns:
            (sequences, steps, *shape) codes of each output, with their binary points.
        """
        arrays = self._arrays(inputs)
        count, steps = next(iter(arrays.values())).shape[:2]
        simulation = self._compile(trace=True) if waveform else self.simulation
        result = simulation.stream(
            {"s": Beats(self._beats(arrays), _joined(self.inputs), _lasts(count, steps))},
            {"m": Expect(count * steps, _joined(self.outputs))},
            patience=1000 + 4 * self.interval,
            idle=idle, backpressure=backpressure, seed=seed, waveform=waveform,
        )  # fmt: skip
        ends = np.cumsum([prod(t.kind.shape) for t in self.outputs])
        parts = np.split(result.outputs["m"], ends[:-1], axis=1)
        return {
            tensor.name: FixedTensor(
                part.reshape(count, steps, *tensor.kind.shape),
                FixedTensor.of_channels(part.reshape(-1, *tensor.kind.shape),
                                        tensor.kind.frac_bits).frac_bits,
            )
            for tensor, part in zip(self.outputs, parts, strict=True)
        }  # fmt: skip

    def expected(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, FixedTensor]:
        """What `run` gives, by the interpreter."""
        steps = run_steps(self.graph, self.states, self._arrays(inputs))
        return {
            name: FixedTensor(np.stack([step[name].codes for step in steps], 1), tensor.frac_bits)
            for name, tensor in steps[0].items()
        }

    def check(self, inputs: Mapping[str, ArrayLike] | ArrayLike, **options: Any) -> int:
        """Compare the simulation with the interpreter, step by step; codes compared.

        Raises:
            VerificationError: any code differs.
        """
        tally = Tally(f"RTL of {self.graph.name!r}")
        tally.add(self.expected(inputs), self.run(inputs, **options))
        return tally.require_equal()

    def sequences(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Samples of one step as sequences of `STEPS`, or of as many as there are.

        Args:
            inputs: (samples, *shape) by name; states among them are left out.

        Returns:
            (sequences, steps, *shape) by name.
        """
        given = {name: array for name, array in inputs.items() if name not in self.states}
        samples = len(next(iter(given.values())))
        steps = min(STEPS, samples)
        count = samples // steps
        return {
            name: array[: count * steps].reshape(count, steps, *array.shape[1:])
            for name, array in given.items()
        }

    def vectors(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Vectors, Vectors]:
        """Both streams; the topmost lane of a beat says whether it is a sequence's last."""
        sequences = self.sequences(inputs)
        count, steps = next(iter(sequences.values())).shape[:2]
        expected = self.expected(sequences)
        results = [expected[tensor.name].codes.reshape(count * steps, -1)
                   for tensor in self.outputs]  # fmt: skip
        last = _lasts(count, steps)[:, np.newaxis].astype(np.int64)

        def with_last(tensors: Sequence[PortTensor], beats: NDArray[Any]) -> tuple[Lanes, Any]:
            lanes = _joined(tensors)
            lanes = Lanes((*lanes.widths, 1), (*lanes.signed, False))
            return lanes, np.concatenate([beats, last], axis=1)

        return (
            {"s": with_last(self.inputs, self._beats(sequences))},
            {"m": with_last(self.outputs, np.concatenate(results, axis=1))},
        )

    @property
    def report(self) -> dict[str, Any]:
        """As of any network; where each tensor lies in the data of its stream."""
        report = super().report
        for side, stream in (("inputs", "s"), ("outputs", "m")):
            low = 0
            for row in report[side]:
                row |= {"port": f"{stream}_tdata", "low": low}
                low += row["bits"]
        return report | {"states": dict(self.states)}

    def measured_interval(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> float:
        """That of a step, which is always the same."""
        return float(self.interval)

    def _beats(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
        """(sequences * steps, lanes) codes that enter."""
        flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in arrays.items()}
        samples = len(next(iter(flat.values())))
        types = {op.output: op.shape for op in self.graph.ops if isinstance(op, Input)}
        zero = {name: np.zeros((samples, *types[name])) for name in self.states}
        codes = entry_codes(self.graph, flat | zero)
        return np.concatenate([codes[t.name].reshape(samples, -1) for t in self.inputs], axis=1)

    def _arrays(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> dict[str, NDArray[Any]]:
        names = [op.output for op in self.graph.ops if isinstance(op, Input)]
        names = [name for name in names if name not in self.states]
        given = inputs if isinstance(inputs, Mapping) else {names[0]: inputs}
        if set(given) != set(names):
            raise DataError(f"inputs must be {', '.join(names)}, not {', '.join(given)}")
        return {name: np.asarray(given[name]) for name in names}


def _top(name: str, step: RtlNetwork, registers: Mapping[str, str]) -> str:
    """The module around a step.

    Args:
        name: of the module.
        step: the adder graph.
        registers: by the entry of a state, its next value.
    """
    ports = {tensor.name: tensor for tensor in (*step.inputs, *step.outputs)}
    wires, joins, connections, low = [], [], [], 0
    for tensor in step.inputs:
        wires.append(f"  logic [{tensor.lanes.bits - 1}:0] {tensor.port};")
        connections.append(f".{tensor.port}")
        if tensor.name not in registers:
            joins.append(f"  assign {tensor.port} = x[{low + tensor.lanes.bits - 1}:{low}];")
            low += tensor.lanes.bits
    for tensor in step.outputs:
        wires.append(f"  logic [{tensor.lanes.bits - 1}:0] {tensor.port};")
        connections.append(f".{tensor.port}")
    nexts, resets = [], []
    for entry, output in registers.items():
        state, new = ports[entry], ports[output]
        wires.append(f"  logic [{state.lanes.bits - 1}:0] {state.port}_next;")
        zeros = [0] * len(state.lanes.widths)
        joins += remap_lanes(f"{state.port}_next", state.lanes, new.port, new.lanes, zeros)
        nexts.append(f"        {state.port} <= last ? '0 : {state.port}_next;")
        resets.append(f"      {state.port} <= '0;")
    results = ", ".join(tensor.port for tensor in reversed(step.outputs))
    text = _TEMPLATE
    for mark, lines in (
        ("WIRES", wires), ("JOINS", joins), ("NEXTS", nexts), ("RESETS", resets),
    ):  # fmt: skip
        text = text.replace(f"@{mark}@", "\n".join(lines))
    clock = [".clk"] if step.latency else []
    for mark, value in (
        ("NAME", name), ("STEP", step.name), ("RESULTS", results),
        ("IN", low - 1), ("OUT", _joined(step.outputs).bits - 1),
        ("LATENCY", step.latency), ("COUNT", step.latency.bit_length()),
        ("CONNECTIONS", ", ".join([*clock, *connections])),
    ):  # fmt: skip
        text = text.replace(f"@{mark}@", str(value))
    return text


_TEMPLATE = """\
// One step of a sequence in each beat; the state lies in registers, and is zero behind a last beat.
module @NAME@ (
  input  logic clk,
  input  logic rst,
  input  logic [@IN@:0] s_tdata,
  input  logic s_tvalid,
  output logic s_tready,
  input  logic s_tlast,
  output logic [@OUT@:0] m_tdata,
  output logic m_tvalid,
  input  logic m_tready,
  output logic m_tlast
);
  logic [@IN@:0] x;
  logic busy, last;
  logic [@COUNT@:0] count;
@WIRES@
@JOINS@
  @STEP@ step (@CONNECTIONS@);
  assign s_tready = !busy;
  always_ff @(posedge clk) begin
    if (rst) begin
      busy <= 1'b0;
      m_tvalid <= 1'b0;
@RESETS@
    end else begin
      if (m_tready) m_tvalid <= 1'b0;
      if (!busy) begin
        x <= s_tdata;
        last <= s_tlast;
        busy <= s_tvalid;
        count <= @LATENCY@;
      end else if (count != 0) begin
        count <= count - 1'b1;
      end else if (!m_tvalid || m_tready) begin
        m_tdata <= {@RESULTS@};
        m_tlast <= last;
        m_tvalid <= 1'b1;
        busy <= 1'b0;
@NEXTS@
      end
    end
  end
endmodule
"""


def build_recurrent(
    step: Graph, states: Mapping[str, str], options: RtlOptions | None = None
) -> RecurrentNetwork:
    """The network of one step as a recurrent unit.

    Args:
        step: its inputs are those of a step, and the state; its outputs the next state, and others.
        states: by the name of an input, the output that is its next value.
        options: of the adder graph.

    Raises:
        TargetError: a state and its next value differ in format.
        DataError: `states` does not name inputs and outputs of the step.
    """
    step.verify()
    inputs = {op.output for op in step.ops if isinstance(op, Input)}
    if inputs <= set(states):
        raise DataError("states must leave an input that each step is given, not all of them")
    for name, output in states.items():
        if name not in inputs or output not in step.outputs:
            raise DataError(
                f"states must lead from inputs ({', '.join(sorted(inputs))}) to outputs "
                f"({', '.join(step.outputs)}), not from {name} to {output}"
            )
        _check_loop(step, name, output)
    options = options or RtlOptions()
    name = top_name(step, options)
    network = build_unrolled(step, replace(options, name=f"{name}_step"))
    registers = {_entry(step, state): output for state, output in states.items()}
    return RecurrentNetwork(
        name, step, "recurrent",
        {**network.files, f"{name}.sv": _top(name, network, registers)},
        tuple(tensor for tensor in network.inputs if tensor.name not in registers),
        network.outputs, network.latency, network.latency + 2, network.facts,
        step=network, states=dict(states),
    )  # fmt: skip


def run_steps(
    step: Graph, states: Mapping[str, str], inputs: Mapping[str, NDArray[Any]]
) -> Sequence[dict[str, FixedTensor]]:
    """What the interpreter gives in each step of sequences, from a state of zero.

    Args:
        step: the network of one step.
        states: as of `build_recurrent`.
        inputs: (sequences, steps, *shape) values by name.
    """
    first = next(iter(inputs.values()))
    shapes = {op.output: op.shape for op in step.ops if isinstance(op, Input)}
    now: dict[str, Any] = {name: np.zeros((len(first), *shapes[name])) for name in states}
    found = []
    for number in range(first.shape[1]):
        given = {name: array[:, number] for name, array in inputs.items()}
        found.append(interpret(step, given | now))
        now = {name: found[-1][output].values for name, output in states.items()}
    return found


def _lasts(count: int, steps: int) -> NDArray[np.bool_]:
    """The last step of each sequence."""
    lasts: NDArray[np.bool_] = np.arange(count * steps) % steps == steps - 1
    return lasts


def _joined(tensors: Sequence[PortTensor]) -> Lanes:
    """Lanes of tensors side by side."""
    lanes = [tensor.lanes for tensor in tensors]
    widths = tuple(width for one in lanes for width in one.widths)
    return Lanes(widths, tuple(sign for one in lanes for sign in one.signed))


def _entry(step: Graph, name: str) -> str:
    """The tensor of codes that an input becomes."""
    for op in step.ops:
        if op.inputs == (name,):
            return op.output
    raise DataError(f"state {name!r} must be read by the step")


def _check_loop(step: Graph, name: str, output: str) -> None:
    """The next value is a state: the same binary points, and no code beyond the state's."""
    state, new = step.fixed_type(_entry(step, name)), step.fixed_type(output)
    if state.shape != new.shape:
        raise TargetError(
            f"state {name!r}: its next value {output!r} must have shape {list(state.shape)}, not "
            f"{list(new.shape)}"
        )
    same = np.array_equal(element_points(state), element_points(new))
    if not same or (new.low < state.low).any() or (new.high > state.high).any():
        raise TargetError(
            f"state {name!r}: its next value {output!r} must lie in the format that the state is "
            "cast to: end the step with the cast that it begins with"
        )
