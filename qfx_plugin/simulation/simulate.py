"""Simulation of Verilog modules: integer codes in and out, as NumPy arrays.

The contract, for modules of any origin:

    sim = compile_module([Path("unit.sv")], "unit", parameters={"WIDTH": 8})

    # AXI-Stream ports `x_tdata/x_tvalid/x_tready[/x_tlast]`, named by their prefix "x":
    result = sim.stream(
        {"s_axis": Beats(codes, Lanes.uniform(4, 8, signed=False))},
        {"m_axis": Expect(100, Lanes.uniform(2, 16))},
        idle=0.3, backpressure=0.3, seed=1,
    )
    result.outputs["m_axis"]            # (100, 2) int64
    result.cycles, result.accepted["s_axis"], result.produced["m_axis"]

    # Plain ports that take a sample each cycle (or each `interval` cycles), without handshake:
    codes = sim.pipeline({"inp": Beats(codes, lanes)}, {"out": lanes}, latency=3)["out"]

Clock ports are called clk, aclk, ap_clk or ap_clk2x; reset ports rst, reset, ap_rst (active high),
rst_n, resetn, aresetn, ap_rst_n (active low); case does not matter. Reset lasts 8 cycles. Registers
start with random bits. `stream` checks what AXI demands of the module: data offered stay unchanged
until they are accepted, and no beat comes that was not expected.

Compiled models are kept under `~/.cache/qfx/verilator` (or `QFX_CACHE`), by content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, OptionError, VerificationError
from .lanes import Codes, Lanes
from .model import CompiledModel, VerilogModule, build_model, build_models
from .model_cpp import VerilogPort
from .session import Session, StreamBuffer

CLOCKS = ("clk", "aclk", "ap_clk", "ap_clk2x")
RESETS = {
    "rst": True, "reset": True, "ap_rst": True,
    "rst_n": False, "resetn": False, "aresetn": False, "ap_rst_n": False,
}  # fmt: skip
"""Names of reset ports and the level that resets."""

PATTERN_LENGTH = 8191
"""Cycles after which a random pattern repeats: a prime, so that it does not lock to a period."""

DRAIN = 64
"""Cycles that a stream runs on after its last expected beat, to see beats too many."""

Pattern: TypeAlias = float | Sequence[bool]
"""A probability in [0, 1), or one entry per cycle, repeated."""


@dataclass(frozen=True, eq=False)
class Beats:
    """What an input port is fed.

    Attributes:
        codes: (beats, lanes) integers.
        lanes: how they lie in the port.
        last: (beats,) value of `tlast`; the very last beat only, if None.
    """

    codes: NDArray[Any]
    lanes: Lanes
    last: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Expect:
    """What an output port is to give.

    Attributes:
        count: number of beats.
        lanes: how codes lie in the port.
    """

    count: int
    lanes: Lanes


@dataclass(frozen=True, eq=False)
class StreamResult:
    """What came out, and when.

    Attributes:
        outputs: (beats, lanes) int64 codes by stream.
        last: (beats,) bool by stream: `tlast`; False without that port.
        cycles: clock cycles from the end of reset to the last expected beat.
        accepted: (beats,) cycle in which each input beat was taken, by stream.
        produced: (beats,) cycle in which each output beat was taken, by stream.
    """

    outputs: dict[str, Codes]
    last: dict[str, NDArray[np.bool_]]
    cycles: int
    accepted: dict[str, Codes] = field(default_factory=dict)
    produced: dict[str, Codes] = field(default_factory=dict)


def compile_module(
    sources: Sequence[Path],
    top: str,
    *,
    parameters: Mapping[str, int | str] | None = None,
    include_dirs: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    memories: Sequence[Path] = (),
    trace: bool = False,
) -> Simulation:
    """Translate and compile module `top`, or take it from the cache.

    Args:
        sources: Verilog and SystemVerilog files in any order.
        top: name of the module.
        parameters: values of its parameters.
        include_dirs: folders searched for included files.
        defines: preprocessor macros and their values.
        memories: files for $readmemh, which the sources name in quotes without a folder; they are
            kept with the compiled model.
        trace: whether waveforms (VCD files) are wanted.

    Raises:
        ToolMissingError: Verilator or the C++ compiler is not installed.
        TargetError: the sources are wrong; the text holds the first error.
    """
    model = build_model(
        sources, top, parameters or {}, include_dirs, defines or {}, memories, trace
    )
    return Simulation(model)


def compile_modules(modules: Sequence[VerilogModule], *, quick: bool = False) -> list[Simulation]:
    """Several modules in one library: much faster than one by one if they are small.

    Args:
        modules: each with its files.
        quick: compile faster, for short runs: these are three to five times as long.

    Raises:
        ToolMissingError, TargetError: as `compile_module`.
    """
    return [Simulation(model) for model in build_models(modules, quick=quick)]


class Simulation:
    """A compiled module. Each call starts from reset.

    Args:
        model: from `build_model`; `compile_module` is the usual way to get a simulation.
    """

    def __init__(self, model: CompiledModel) -> None:
        self.model = model
        self._by_name = {port.name.lower(): port for port in model.ports}
        self._clocks = [port for port in model.ports if port.name.lower() in CLOCKS]
        self._reset = next((p for p in model.ports if p.name.lower() in RESETS), None)

    @property
    def ports(self) -> dict[str, VerilogPort]:
        """The module's ports by name."""
        return {port.name: port for port in self.model.ports}

    def pipeline(
        self,
        inputs: Mapping[str, Beats],
        outputs: Mapping[str, Lanes],
        *,
        latency: int = 0,
        interval: int = 1,
        constants: Mapping[str, int] | None = None,
        seed: int = 0,
        waveform: Path | None = None,
    ) -> dict[str, Codes]:
        """Feed plain ports with one sample every `interval` cycles.

        Args:
            inputs: codes by port; all with the same number of samples.
            outputs: lanes by port.
            latency: rising clock edges from a sample to its result; 0 if combinational.
            interval: cycles between samples, at least 1.
            constants: values of further input ports.
            seed: of the registers' first contents.
            waveform: VCD file to write, if the module was compiled with `trace`.

        Returns:
            (samples, lanes) int64 codes by port.

        Raises:
            DataError: a port is missing or too narrow, or the numbers of samples differ.
        """
        counts = {len(beats.codes) for beats in inputs.values()}
        if len(counts) != 1:
            raise DataError(f"inputs must have the same number of samples, not {sorted(counts)}")
        if latency < 0 or interval < 1:
            raise OptionError(
                f"latency must be at least 0 and interval at least 1, not {latency}, {interval}"
            )
        (samples,) = counts
        feeds = [(self._port(n, b.lanes), b.lanes.pack(b.codes)) for n, b in inputs.items()]
        drains = [
            (self._port(name, lanes), np.zeros((samples, lanes.words), dtype=np.uint32))
            for name, lanes in outputs.items()
        ]
        with self._session(seed, waveform, constants) as session:
            session.pipeline(feeds, drains, samples, latency, interval)
        pairs = zip(outputs.items(), drains, strict=True)
        return {name: lanes.unpack(words) for (name, lanes), (_, words) in pairs}

    def stream(
        self,
        inputs: Mapping[str, Beats],
        outputs: Mapping[str, Expect],
        *,
        idle: Pattern = 0.0,
        backpressure: Pattern = 0.0,
        seed: int = 0,
        patience: int = 10_000,
        drain: int = DRAIN,
        constants: Mapping[str, int] | None = None,
        waveform: Path | None = None,
    ) -> StreamResult:
        """Feed AXI-Stream ports and collect what comes.

        Args:
            inputs: codes by stream, named by the prefix of its ports.
            outputs: number of beats and lanes by stream.
            idle: cycles in which no input offers a new beat; each stream has its own pattern.
            backpressure: cycles in which no output accepts a beat.
            seed: of random patterns and of the registers' first contents.
            patience: cycles without any transfer after which the module counts as stuck.
            drain: cycles to run on after the last expected beat, at most `DRAIN`; 0 for a module
                that starts on the next frame by itself.
            constants: values of further input ports.
            waveform: VCD file to write, if the module was compiled with `trace`.

        Raises:
            DataError: a port is missing or too narrow.
            VerificationError: the module is stuck, gives too many beats, or changes data that it
                offers.
        """
        rng = np.random.default_rng(seed)
        sources = [self._source(name, beats, _pattern(idle, rng)) for name, beats in inputs.items()]
        sinks = [
            self._sink(name, want, _pattern(backpressure, rng)) for name, want in outputs.items()
        ]
        with self._session(seed, waveform, constants) as session:
            session.stream(sources, sinks, patience, min(drain, DRAIN))
        for name, want, sink in zip(outputs, outputs.values(), sinks, strict=True):
            _check_sink(self.model.top, name, want, sink, patience)
        produced = {
            n: s.cycles[: e.count] for (n, e), s in zip(outputs.items(), sinks, strict=True)
        }
        return StreamResult(
            outputs={
                name: want.lanes.unpack(sink.words[: want.count])
                for (name, want), sink in zip(outputs.items(), sinks, strict=True)
            },
            last={
                name: sink.lasts[: want.count].astype(bool)
                for (name, want), sink in zip(outputs.items(), sinks, strict=True)
            },
            cycles=max(
                (int(cycles.max()) + 1 for cycles in produced.values() if len(cycles)), default=0
            ),
            accepted={n: s.cycles[: s.done] for n, s in zip(inputs, sources, strict=True)},
            produced=produced,
        )

    def _session(
        self, seed: int, waveform: Path | None, constants: Mapping[str, int] | None
    ) -> Session:
        if waveform is not None and not self.model.trace:
            raise OptionError("a waveform needs a module compiled with trace=True")
        reset = self._reset
        session = Session(
            self.model,
            [port.index for port in self._clocks],
            -1 if reset is None else reset.index,
            reset is None or RESETS[reset.name.lower()],
            seed,
            waveform,
        )
        for name, value in (constants or {}).items():
            port = self._find(name)
            lanes = Lanes((min(port.width, 64),), (value < 0,))
            session.put(port, lanes.pack([[value]]))
        return session

    def _find(self, name: str) -> VerilogPort:
        try:
            return self._by_name[name.lower()]
        except KeyError:
            names = ", ".join(self.ports)
            raise DataError(
                f"module {self.model.top!r} has no port {name!r}; it has {names}"
            ) from None

    def _port(self, name: str, lanes: Lanes) -> VerilogPort:
        port = self._find(name)
        if lanes.bits > port.width:
            raise DataError(f"port {name!r} has {port.width} bits; its lanes need {lanes.bits}")
        return port

    def _stream_ports(self, prefix: str, lanes: Lanes) -> tuple[int, int, int, int]:
        """Indices of the data, valid, ready and last ports; -1 for no last."""
        data = self._port(f"{prefix}_tdata", lanes)
        valid, ready = (self._find(f"{prefix}_t{role}") for role in ("valid", "ready"))
        last = self._by_name.get(f"{prefix}_tlast".lower())
        return data.index, valid.index, ready.index, -1 if last is None else last.index

    def _source(self, name: str, beats: Beats, gaps: NDArray[np.uint8]) -> StreamBuffer:
        count = len(beats.codes)
        lasts = np.zeros(count + 1, dtype=np.uint8)
        if beats.last is not None:
            lasts[:count] = beats.last
        elif count:
            lasts[count - 1] = 1
        words = beats.lanes.pack(beats.codes)
        return StreamBuffer(self._stream_ports(name, beats.lanes), words, lasts, gaps, count)

    def _sink(self, name: str, want: Expect, stalls: NDArray[np.uint8]) -> StreamBuffer:
        ports = self._stream_ports(name, want.lanes)
        room = want.count + DRAIN
        # The harness copies whole ports: room for all of the port's words.
        words = -(-self._find(f"{name}_tdata").width // 32)
        beats = np.zeros((room, max(words, want.lanes.words)), dtype=np.uint32)
        return StreamBuffer(ports, beats, np.zeros(room, dtype=np.uint8), stalls, want.count)


def _pattern(pattern: Pattern, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cycle by cycle: 1 for a pause."""
    if isinstance(pattern, (int, float)):
        if not 0 <= pattern < 1:
            raise OptionError(f"a probability of pauses must be in [0, 1), not {pattern!r}")
        if pattern == 0:
            return np.zeros(1, dtype=np.uint8)
        return (rng.random(PATTERN_LENGTH) < pattern).astype(np.uint8)
    array = np.asarray(pattern, dtype=np.uint8)
    if array.ndim != 1 or array.all():
        raise OptionError(
            "a pattern of pauses must be a list with at least one cycle without pause"
        )
    return array


def _check_sink(top: str, name: str, want: Expect, sink: StreamBuffer, patience: int) -> None:
    if sink.broken >= 0:
        raise VerificationError(
            f"{top}: stream {name!r} changes its data or withdraws them in cycle {sink.broken}, "
            "before they are accepted"
        )
    if sink.done < want.count:
        raise VerificationError(
            f"{top}: stream {name!r} gave {sink.done} of {want.count} beats, then nothing moved "
            f"for {patience} cycles"
        )
    if sink.done > want.count:
        raise VerificationError(
            f"{top}: stream {name!r} gave {sink.done - want.count} beats more than the "
            f"{want.count} expected"
        )
