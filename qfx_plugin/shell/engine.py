"""The accelerator with its shell in Verilator, and the ctypes side of `templates/board.cpp`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, VerificationError
from ..simulation.model import CompiledModel, build_model

HARNESS = Path(__file__).parent / "templates" / "board.cpp"

_HANDLE, _WORD, _LONG = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int64
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "open": (_HANDLE, [ctypes.c_uint64, _WORD]),
    "close": (None, [_HANDLE]),
    "cycle": (_LONG, [_HANDLE]),
    "error": (ctypes.c_char_p, [_HANDLE]),
    "write": (ctypes.c_int32, [_HANDLE, _WORD, _WORD]),
    "read": (ctypes.c_int32, [_HANDLE, _WORD, ctypes.POINTER(_WORD)]),
    "run": (None, [_HANDLE, _LONG]),
    "send": (None, [_HANDLE, ctypes.c_void_p, _LONG]),
    "receive": (None, [_HANDLE, ctypes.c_void_p, _LONG]),
    "stop": (None, [_HANDLE]),
    "unsent": (_LONG, [_HANDLE]),
    "received": (_LONG, [_HANDLE]),
    "ended": (ctypes.c_int32, [_HANDLE]),
    "overrun": (ctypes.c_int32, [_HANDLE]),
}


def compile_board(sources: Sequence[Path], top: str, memories: Sequence[Path]) -> CompiledModel:
    """Translate and compile an accelerator, or take it from the cache.

    Args:
        sources: of network and shell.
        top: name of the top module.
        memories: files for $readmemh.

    Raises:
        ToolMissingError: Verilator or the C++ compiler is not installed.
        TargetError: the sources are wrong; the text holds the first error.
    """
    return build_model(sources, top, {}, (), {}, memories, trace=False, harness=HARNESS)


class Engine:
    """An accelerator under clock.

    Args:
        model: from `compile_board`.
        pauses: probability of a pause in each cycle, of everything that can wait.
        seed: of the pauses and of the registers' first contents.
    """

    def __init__(self, model: CompiledModel, pauses: float, seed: int) -> None:
        self._library = _load(model.library)
        self._handle = self._library.board_open(seed, round(1000 * pauses))
        self._kept: list[NDArray[np.uint8]] = []

    @property
    def cycle(self) -> int:
        """Clock cycles since reset."""
        return int(self._call("cycle"))

    def write(self, address: int, value: int) -> None:
        """Write a register over AXI4-Lite.

        Raises:
            VerificationError: it is not answered, or the module breaks the protocol.
        """
        if not self._call("write", address, value):
            raise VerificationError(f"a write to register 0x{address:02x} is not answered")
        self.check()

    def read(self, address: int) -> int:
        """Read a register over AXI4-Lite.

        Raises:
            VerificationError: it is not answered, or the module breaks the protocol.
        """
        word = _WORD(0)
        if not self._call("read", address, ctypes.byref(word)):
            raise VerificationError(f"a read of register 0x{address:02x} is not answered")
        self.check()
        return word.value

    def run(self, cycles: int) -> None:
        """Let the clock tick.

        Raises:
            VerificationError: the module breaks the protocol.
        """
        self._call("run", cycles)
        self.check()

    def send(self, data: NDArray[np.uint8]) -> None:
        """Begin to send bytes, TLAST with the last beat."""
        self._keep(data)
        self._call("send", data.ctypes.data, data.size)

    def receive(self, data: NDArray[np.uint8]) -> None:
        """Begin to receive, until TLAST or until the memory is full."""
        self._keep(data)
        self._call("receive", data.ctypes.data, data.size)

    def stop(self) -> None:
        """End both directions at once."""
        self._call("stop")

    @property
    def unsent(self) -> int:
        """Bytes still to send."""
        return int(self._call("unsent"))

    @property
    def received(self) -> int:
        """Bytes received so far."""
        return int(self._call("received"))

    @property
    def ended(self) -> bool:
        """Whether TLAST has come."""
        return bool(self._call("ended"))

    @property
    def overrun(self) -> bool:
        """Whether more came than there was room for."""
        return bool(self._call("overrun"))

    def check(self) -> None:
        """Raise what the module did against the protocol.

        Raises:
            VerificationError: it did.
        """
        text = self._call("error").decode()
        if text:
            raise VerificationError(f"the AXI shell breaks the protocol: {text}")

    def close(self) -> None:
        """End the simulation."""
        if self._handle is not None:
            self._library.board_close(self._handle)
            self._handle = None

    def _call(self, name: str, *arguments: Any) -> Any:
        if self._handle is None:
            raise OptionError("board must be open, not closed: its simulation has ended")
        return getattr(self._library, f"board_{name}")(self._handle, *arguments)

    def _keep(self, data: NDArray[np.uint8]) -> None:
        """The memory of the last transfers must not go while the simulation uses it."""
        self._kept = [*self._kept[-3:], data]


def _load(path: Path) -> Any:
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, f"board_{name}")
        function.restype, function.argtypes = result, arguments
    return library
