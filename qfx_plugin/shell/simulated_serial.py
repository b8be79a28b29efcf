"""`SimulatedSerial`: a serial port whose other end is a top module of `uart_top` in Verilator.

Every bit goes over the simulated line. What a line does to bytes, `spoil` does to them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..simulation.model import build_model
from .wrap import NetworkRtl, Shell

HARNESS = Path(__file__).parent / "templates" / "uart.cpp"

PATIENCE = 50_000
"""Clocks of a silent line until a read gives up; more than a frame that broke off is waited for."""

_HANDLE, _LONG = ctypes.c_void_p, ctypes.c_int64
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "open": (_HANDLE, [ctypes.c_uint64, _LONG]),
    "close": (None, [_HANDLE]),
    "send": (None, [_HANDLE, _HANDLE, _LONG]),
    "receive": (_LONG, [_HANDLE, _HANDLE, _LONG, _LONG]),
    "cycle": (_LONG, [_HANDLE]),
}

Items = Sequence[int]
"""Bytes, and pauses of so many clocks as negative numbers."""


class SimulatedSerial:
    """The host's end of the line; a `serial_board.Port`.

    Args:
        network: what `uart_top` was made for.
        top: what it returned.
        clocks: of a bit, as the top has it.
        seed: of the registers' first contents.
        spoil: what becomes of the bytes of each write on their way.

    Raises:
        ToolMissingError: Verilator or the C++ compiler is not installed.
        TargetError: the sources are wrong.
    """

    def __init__(
        self,
        network: NetworkRtl,
        top: Shell,
        clocks: int,
        *,
        seed: int = 0,
        spoil: Callable[[bytes], Items] = list,
    ) -> None:
        self.spoil = spoil
        with TemporaryDirectory(prefix="qfx-uart-") as name:
            paths = []
            for file, text in {**network.files, **top.files}.items():
                paths.append(Path(name) / file)
                paths[-1].write_text(text, encoding="utf-8")
            sources = [path for path in paths if path.suffix in (".v", ".sv")]
            memories = [path for path in paths if path.suffix == ".mem"]
            model = build_model(sources, top.top, {}, (), {}, memories, False, harness=HARNESS)
        self._library = ctypes.CDLL(str(model.library))
        for function, (result, arguments) in _SIGNATURES.items():
            entry = getattr(self._library, f"uart_{function}")
            entry.restype, entry.argtypes = result, arguments
        self._handle = self._library.uart_open(seed, clocks)

    @property
    def cycle(self) -> int:
        """Clocks since the configuration."""
        return int(self._library.uart_cycle(self._handle))

    def write(self, data: bytes) -> int:
        """Put bytes on the line, behind those that are still to go."""
        items = np.array(self.spoil(data), dtype=np.int32)
        self._library.uart_send(self._handle, items.ctypes.data, items.size)
        return len(data)

    def read(self, size: int) -> bytes:
        """Let the clock tick until so many bytes have come, or nothing comes any more."""
        buffer = np.zeros(size, dtype=np.uint8)
        count = self._library.uart_receive(self._handle, buffer.ctypes.data, size, PATIENCE)
        return buffer[:count].tobytes()

    def reset_input_buffer(self) -> None:
        """Forget what has come."""
        buffer = np.zeros(4096, dtype=np.uint8)
        while self._library.uart_receive(self._handle, buffer.ctypes.data, buffer.size, 0):
            pass

    def close(self) -> None:
        """End the simulation."""
        if self._handle is not None:
            self._library.uart_close(self._handle)
            self._handle = None
