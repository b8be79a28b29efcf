"""A network as Verilog: its files, its ports, and how to run it in the simulator."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from ..ir import FixedTensor, Graph, interpret
from ..ir.compare import Tally
from ..simulation import (
    Beats,
    Codes,
    Expect,
    Pattern,
    Simulation,
    StreamResult,
    VerilogModule,
    compile_module,
    compile_modules,
)
from ..simulation.lanes import Lanes
from .graph.kernel import PortTensor
from .ports import entry_codes

Vectors: TypeAlias = dict[str, tuple[Lanes, Codes]]

CHUNK = 1000

SETTLING = 3
"""Samples until a streaming network is filled, for measurements of its pace."""


@dataclass(frozen=True, eq=False)
class RtlNetwork:
    """A network as Verilog.

    Attributes:
        name: of the top module.
        graph: the network.
        style: "unrolled" (plain ports, a sample each cycle), "streaming" (AXI-Stream) or
            "recurrent" (a step of a sequence in each beat).
        files: text of each source and memory file, by file name.
        inputs: tensors that enter, with their ports.
        outputs: tensors that leave, with their ports.
        latency: clock cycles from input to output of an unrolled network; 0 if combinational.
        interval: clock cycles per sample.
        facts: plain values for reports.
    """

    name: str
    graph: Graph
    style: str
    files: Mapping[str, str]
    inputs: tuple[PortTensor, ...]
    outputs: tuple[PortTensor, ...]
    latency: int
    interval: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> list[Path]:
        """Write the files; return the paths of the sources, without memories."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, text in self.files.items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            if path.suffix in (".v", ".sv"):
                paths.append(path)
        return paths

    @cached_property
    def simulation(self) -> Simulation:
        """The compiled design; Verilator and a C++ compiler are needed."""
        return self._compile(trace=False)

    def run(
        self,
        inputs: Mapping[str, ArrayLike] | ArrayLike,
        *,
        idle: Pattern = 0.0,
        backpressure: Pattern = 0.0,
        seed: int = 0,
        waveform: Path | None = None,
    ) -> dict[str, FixedTensor]:
        """Simulate on float inputs, like `qfx_plugin.interpret`.

        Args:
            inputs: (batch, *shape) values by name, or one array.
            idle: pauses of the inputs of a streaming network; see `Simulation.stream`.
            backpressure: pauses of its outputs.
            seed: of random pauses and of the registers' first contents.
            waveform: VCD file to write; use few samples.
        """
        codes = entry_codes(self.graph, inputs)
        simulation = self._compile(trace=True) if waveform else self.simulation
        options: dict[str, Any] = {"seed": seed, "waveform": waveform}
        if self.style == "streaming":
            options |= {"idle": idle, "backpressure": backpressure}
        batch = len(next(iter(codes.values())))
        parts = [
            self._run(simulation, {n: c[start : start + CHUNK] for n, c in codes.items()}, options)
            for start in range(0, batch, CHUNK)
        ]
        return {
            tensor.name: FixedTensor.of_channels(
                np.concatenate([_none(tensor), *(part[tensor.name] for part in parts)]),
                tensor.kind.frac_bits,
            )
            for tensor in self.outputs
        }

    def check(self, inputs: Mapping[str, ArrayLike] | ArrayLike, **options: Any) -> int:
        """Compare the simulation with the interpreter; return the number of codes compared.

        Raises:
            VerificationError: any code differs.
        """
        tally = Tally(f"RTL of {self.graph.name!r}")
        tally.add(interpret(self.graph, inputs), self.run(inputs, **options))
        return tally.require_equal()

    def vectors(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Vectors, Vectors]:
        """What enters and leaves by each port for float inputs: its lanes, and codes beat by beat.

        Args:
            inputs: (samples, *shape) floats by name.
        """
        codes = entry_codes(self.graph, inputs)
        codes |= {name: tensor.codes for name, tensor in interpret(self.graph, inputs).items()}

        def of(tensor: PortTensor) -> tuple[Lanes, Codes]:
            rows = codes[tensor.name]
            if self.style == "streaming":
                return tensor.beat_lanes, beats_of(rows)
            return tensor.lanes, rows.reshape(len(rows), -1)

        sides = self.inputs, self.outputs
        entering, leaving = ({tensor.port: of(tensor) for tensor in side} for side in sides)
        return entering, leaving

    @property
    def report(self) -> dict[str, Any]:
        """What was made, and how names and formats map to ports; plain data."""
        return {
            "network": self.graph.name,
            "top": self.name,
            "style": self.style,
            "files": sorted(self.files),
            "latency": self.latency,
            "interval": self.interval,
            "inputs": [_port(tensor, self.style) for tensor in self.inputs],
            "outputs": [_port(tensor, self.style) for tensor in self.outputs],
            **self.facts,
        }

    def measured_interval(self, inputs: Mapping[str, ArrayLike] | ArrayLike) -> float:
        """Clock cycles from one sample's last beat to the next one's, simulated without pauses.

        Args:
            inputs: at least six samples; the first three are not counted.

        Raises:
            DataError: too few samples.
        """
        codes = entry_codes(self.graph, inputs)
        batch = len(next(iter(codes.values())))
        if batch < 2 * SETTLING:
            raise DataError(f"a pace needs at least {2 * SETTLING} samples, not {batch}")
        if self.style != "streaming":
            return float(self.interval)
        result = self._transfer(self.simulation, codes, batch, {})
        ends = [result.produced[t.port][t.beats - 1 :: t.beats] for t in self.outputs]
        last = np.max(ends, axis=0)
        return float(last[-1] - last[SETTLING]) / (batch - 1 - SETTLING)

    def _compile(self, trace: bool) -> Simulation:
        with tempfile.TemporaryDirectory(prefix="qfx-rtl-") as folder:
            sources = self.write(Path(folder))
            memories = sorted(Path(folder).glob("*.mem"))
            return compile_module(sources, self.name, memories=memories, trace=trace)

    def _run(
        self, simulation: Simulation, codes: Mapping[str, Codes], options: Mapping[str, Any]
    ) -> dict[str, Codes]:
        batch = len(next(iter(codes.values())))
        if self.style == "streaming":
            return self._stream(simulation, codes, batch, options)
        feeds = {t.port: Beats(codes[t.name].reshape(batch, -1), t.lanes) for t in self.inputs}
        results = simulation.pipeline(
            feeds, {t.port: t.lanes for t in self.outputs}, latency=self.latency, **options
        )
        return {t.name: results[t.port].reshape(batch, *t.kind.shape) for t in self.outputs}

    def _stream(
        self, simulation: Simulation, codes: Mapping[str, Codes], batch: int,
        options: Mapping[str, Any],
    ) -> dict[str, Codes]:  # fmt: skip
        result = self._transfer(simulation, codes, batch, options)
        return {t.name: samples_of(result.outputs[t.port], t.kind.shape) for t in self.outputs}

    def _transfer(
        self, simulation: Simulation, codes: Mapping[str, Codes], batch: int,
        options: Mapping[str, Any],
    ) -> StreamResult:  # fmt: skip
        """One beat per position: channels last in time."""
        feeds = {
            t.port: Beats(beats_of(codes[t.name]), t.beat_lanes, _lasts(batch, t))
            for t in self.inputs
        }
        wants = {t.port: Expect(batch * t.beats, t.beat_lanes) for t in self.outputs}
        patience = 1000 + 4 * self.interval
        return simulation.stream(feeds, wants, patience=patience, **options)


def compile_together(networks: Sequence[RtlNetwork]) -> None:
    """Compile the simulations of many small networks at once, for short runs.

    Each network keeps its own module, ports and clock; only the C++ compiler sees them together.
    """
    with tempfile.TemporaryDirectory(prefix="qfx-rtl-") as name:
        sources = []
        for number, network in enumerate(networks):
            folder = Path(name) / str(number)
            paths, memories = network.write(folder), sorted(folder.glob("*.mem"))
            sources.append(VerilogModule(paths, network.name, memories=memories))
        simulations = compile_modules(sources, quick=True)
    for network, simulation in zip(networks, simulations, strict=True):
        vars(network)["simulation"] = simulation  # where `cached_property` looks


def beats_of(codes: NDArray[np.int64]) -> Codes:
    """(batch, channels, *spatial) to (batch * positions, channels)."""
    batch, channels = codes.shape[:2]
    flat = codes.reshape(batch, channels, -1)
    return np.ascontiguousarray(flat.transpose(0, 2, 1).reshape(-1, channels))


def samples_of(beats: Codes, shape: tuple[int, ...]) -> Codes:
    """(batch * positions, channels) to (batch, channels, *spatial)."""
    positions = prod(shape[1:])
    flat = beats.reshape(-1, positions, (*shape, 1)[0]).transpose(0, 2, 1)
    return np.ascontiguousarray(flat).reshape(-1, *shape)


def _port(tensor: PortTensor, style: str) -> dict[str, Any]:
    lanes = tensor.beat_lanes if style == "streaming" else tensor.lanes
    return {
        "tensor": tensor.name,
        "port": tensor.port,
        "shape": list(tensor.kind.shape),
        "frac_bits": [int(bits) for bits in tensor.kind.frac_bits],
        "bits": lanes.bits,
        "widths": sorted(set(lanes.widths)),
        "beats": tensor.beats if style == "streaming" else 1,
    }


def _none(tensor: PortTensor) -> Codes:
    """No sample's codes."""
    return np.zeros((0, *tensor.kind.shape), dtype=np.int64)


def _lasts(batch: int, tensor: PortTensor) -> NDArray[np.bool_]:
    """The last beat of each sample."""
    lasts = np.zeros((batch, tensor.beats), dtype=bool)
    lasts[:, -1] = True
    return lasts.reshape(-1)
