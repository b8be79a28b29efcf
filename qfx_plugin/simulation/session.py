"""Calls into a compiled model: the ctypes side of `templates/harness.cpp`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lanes import Words
from .model import CompiledModel
from .model_cpp import VerilogPort

_VOID, _INT, _LONG = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class StreamBuffer:
    """One AXI-Stream port in a run: its beats, its pauses, and what happened.

    Attributes:
        ports: indices of the data, valid, ready and last ports; -1 for no last.
        words: (beats, words) uint32: data to send, or room for data to come.
        lasts: (beats,) uint8: `tlast`.
        pauses: uint8, one per cycle, repeated: 1 for a pause.
        count: beats to send or to expect.
        cycles: (beats,) int64: the cycle of each transfer.
        done: transfers that took place.
        broken: cycle in which an output broke the protocol, or -1.
    """

    def __init__(
        self,
        ports: tuple[int, int, int, int],
        words: Words,
        lasts: NDArray[np.uint8],
        pauses: NDArray[np.uint8],
        count: int,
    ) -> None:
        self.ports, self.words, self.lasts = ports, words, lasts
        self.pauses, self.count = pauses, count
        self.cycles = np.zeros(max(len(words), 1), dtype=np.int64)
        self.done = 0
        self.broken = -1


class _Source(ctypes.Structure):
    _fields_ = (
        ("data", _INT), ("valid", _INT), ("ready", _INT), ("last", _INT),
        ("words", _LONG), ("count", _LONG),
        ("beats", _VOID), ("lasts", _VOID), ("gaps", _VOID), ("gap_length", _LONG),
        ("cycles", _VOID), ("done", _LONG),
    )  # fmt: skip


class _Sink(ctypes.Structure):
    _fields_ = (
        ("data", _INT), ("valid", _INT), ("ready", _INT), ("last", _INT),
        ("words", _LONG), ("expected", _LONG), ("capacity", _LONG),
        ("beats", _VOID), ("lasts", _VOID), ("stalls", _VOID), ("stall_length", _LONG),
        ("cycles", _VOID), ("done", _LONG), ("broken", _LONG),
    )  # fmt: skip


class Session:
    """One run of a model, from its construction to its end; a context manager.

    Args:
        model: the compiled model.
        clocks: indices of the clock ports.
        reset: index of the reset port, or -1.
        reset_level: level that resets.
        seed: of the registers' first contents.
        waveform: file to write, or None.
    """

    def __init__(
        self,
        model: CompiledModel,
        clocks: Sequence[int],
        reset: int,
        reset_level: bool,
        seed: int,
        waveform: Path | None,
    ) -> None:
        self._library = load(model.library)
        self._ports = model.ports
        array = (_INT * max(len(clocks), 1))(*clocks)
        path = None if waveform is None else str(waveform).encode()
        self._handle = self._library.qfx_open(
            model.number, seed, array, len(clocks), reset, int(reset_level), path
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.qfx_close(self._handle)

    def put(self, port: VerilogPort, words: Words) -> None:
        """Set an input port; `words` is (1, words) uint32."""
        padded = _widen(words, port)
        self._library.qfx_put(self._handle, port.index, padded.ctypes.data)

    def pipeline(
        self,
        feeds: Sequence[tuple[VerilogPort, Words]],
        drains: Sequence[tuple[VerilogPort, Words]],
        samples: int,
        latency: int,
        interval: int,
    ) -> None:
        """Fill the words of `drains`; see `Simulation.pipeline`."""
        inputs = [(port, _widen(words, port)) for port, words in feeds]
        outputs = [(port, _widen(words, port)) for port, words in drains]
        self._library.qfx_pipeline(
            self._handle, *_table(inputs), *_table(outputs), samples, latency, interval
        )
        for (_, words), (_, wide) in zip(drains, outputs, strict=True):
            words[:] = wide[:, : words.shape[1]]

    def stream(
        self,
        sources: Sequence[StreamBuffer],
        sinks: Sequence[StreamBuffer],
        patience: int,
        drain: int,
    ) -> None:
        """Run the streams and note in each buffer what happened; see `Simulation.stream`."""
        for source in sources:
            source.words = _widen(source.words, self._ports[source.ports[0]])
        ins = (_Source * max(len(sources), 1))(*map(_source, sources))
        outs = (_Sink * max(len(sinks), 1))(*map(_sink, sinks))
        self._library.qfx_stream(self._handle, ins, len(sources), outs, len(sinks), patience, drain)
        for buffer, struct in [*zip(sources, ins, strict=False), *zip(sinks, outs, strict=False)]:
            buffer.done = struct.done
        for buffer, struct in zip(sinks, outs, strict=False):
            buffer.broken = struct.broken


def load(library: Path) -> Any:
    """The shared library of a model, with the types of its functions."""
    handle = ctypes.CDLL(str(library))
    handle.qfx_open.argtypes = [
        _INT, ctypes.c_uint64, _VOID, _INT, _INT, _INT, ctypes.c_char_p
    ]  # fmt: skip
    handle.qfx_open.restype = _VOID
    handle.qfx_close.argtypes = [_VOID]
    handle.qfx_put.argtypes = [_VOID, _INT, _VOID]
    side: tuple[Any, ...] = (_INT, _VOID, _VOID, _VOID)  # `ctypes` has no public type for these
    handle.qfx_pipeline.argtypes = [_VOID, *side, *side, _LONG, _LONG, _LONG]
    handle.qfx_stream.argtypes = [_VOID, _VOID, _INT, _VOID, _INT, _LONG, _LONG]
    handle.qfx_stream.restype = _LONG
    return handle


def _widen(words: Words, port: VerilogPort) -> Words:
    """The beats with as many words as the port has, which is how many the harness copies."""
    missing = max(port.words - words.shape[1], 0)
    return np.ascontiguousarray(np.pad(words, ((0, 0), (0, missing))), dtype=np.uint32)


def _table(ports: Sequence[tuple[VerilogPort, Words]]) -> tuple[Any, ...]:
    size = max(len(ports), 1)
    return (
        len(ports),
        (_INT * size)(*(port.index for port, _ in ports)),
        (_LONG * size)(*(words.shape[1] for _, words in ports)),
        (_VOID * size)(*(words.ctypes.data for _, words in ports)),
    )


def _source(buffer: StreamBuffer) -> _Source:
    return _Source(
        *buffer.ports, buffer.words.shape[1], buffer.count, buffer.words.ctypes.data,
        buffer.lasts.ctypes.data, buffer.pauses.ctypes.data, len(buffer.pauses),
        buffer.cycles.ctypes.data, 0,
    )  # fmt: skip


def _sink(buffer: StreamBuffer) -> _Sink:
    return _Sink(
        *buffer.ports, buffer.words.shape[1], buffer.count, len(buffer.words),
        buffer.words.ctypes.data, buffer.lasts.ctypes.data, buffer.pauses.ctypes.data,
        len(buffer.pauses), buffer.cycles.ctypes.data, 0, -1,
    )  # fmt: skip
