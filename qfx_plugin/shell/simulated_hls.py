"""`SimulatedHls`: the accelerator of target hls4ml as compiled C++, behind a DMA's registers.

board, description = SimulatedHls.from_build("build")
with QfxAccelerator(board, description) as accelerator:
    logits = accelerator.run(images)

The function itself is what Vitis HLS synthesises. Its control registers (UG1399) and the DMA's
(PG021) are modelled; when beats move and how long it takes are not: that is a matter of hardware.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..driver import registers as reg
from ..driver.backend import Registers
from ..driver.description import HLS, Description
from ..driver.errors import NoPowerSensor
from ..errors import DataError, OptionError, VerificationError
from ..tools import compiler
from .simulated_board import BoardMemory
from .simulated_dma import START_READS, SimulatedDma

TEMPLATE = Path(__file__).parent / "templates" / "hls_board.cpp"
STANDARD = "-std=c++14"
READS = 3
"""Reads of the control register, while a call is under way, before it has returned."""

_REASONS = {
    -1: "TLAST is not on the last beat",
    -2: "it leaves a beat of its input",
}
_NO_ROOM = -3


def compile_hls(
    folder: Path, description: Description, library: Path, objects: Sequence[Path] = ()
) -> Path:
    """Compile the top function, its network and the bridge to Python.

    Args:
        folder: with the shell's sources and `firmware`, as the step `shell` writes it.
        description: of the accelerator.
        library: to write.
        objects: shell and network where they are compiled already.

    Raises:
        ToolMissingError: no C++ compiler is installed.
        TargetError: the sources are wrong.
    """
    top, firmware = description.top, folder / "firmware"
    text = TEMPLATE.read_text(encoding="utf-8").replace("@TOP@", top)
    bridge = library.with_suffix(".cpp")
    bridge.write_text(text, encoding="utf-8")
    network = top.removesuffix("_axi")
    return compiler.compile_shared(
        [bridge, *(objects or (folder / f"{top}.cpp", firmware / f"{network}.cpp"))],
        library,
        include_dirs=[folder, firmware, firmware / "ap_types", folder / "standin"],
        defines={"WEIGHTS_DIR": f'"{firmware / "weights"}"'},
        flags=("-O0" if objects else "-O1", STANDARD),  # the bridge alone has nothing to do
    )


class HlsFunction:
    """The function's control registers, and the bytes that the DMA moves to it and from it.

    Args:
        library: from `compile_hls`.
    """

    _source: NDArray[np.uint8] | None
    _sink: NDArray[np.uint8] | None

    def __init__(self, library: Any) -> None:
        self._library = library
        self._input_bytes = int(library.hls_input_bytes())
        self.restart()

    def restart(self) -> None:
        """Idle, and nothing under way."""
        self._samples, self._called, self._returned, self._reads = 0, False, False, 0
        self.stop()

    def read(self, offset: int) -> int:
        """A register."""
        if offset == reg.HLS_SAMPLES:
            return self._samples
        if offset != reg.HLS_CONTROL:
            return 0
        if self._called and self._returned:
            self._reads += 1
            if self._reads > READS:
                self._called, self._returned = False, False
                return reg.HLS_DONE | reg.HLS_IDLE | reg.HLS_READY
        return reg.HLS_START if self._called else reg.HLS_IDLE

    def write(self, offset: int, value: int) -> None:
        """Set a register; what is under way keeps its arguments."""
        if offset == reg.HLS_SAMPLES:
            self._samples = value
        elif offset == reg.HLS_CONTROL and value & reg.HLS_START and not self._called:
            self._called, self._returned, self._reads = True, self._samples == 0, 0
            self._wanted = self._samples

    def send(self, data: NDArray[np.uint8]) -> None:
        """Begin to send bytes to the function."""
        self._source, self.unsent = data, data.size

    def receive(self, data: NDArray[np.uint8]) -> None:
        """Begin to receive."""
        self._sink, self.received, self.ended, self.overrun = data, 0, False, False

    def stop(self) -> None:
        """Forget both directions. A function that is under way stays so: nothing resets it."""
        self._source = self._sink = None
        self.unsent = self.received = 0
        self.ended = self.overrun = False

    def run(self, cycles: int) -> None:
        """Call the function once everything is there that it would wait for.

        Raises:
            VerificationError: it does not send what it should.
        """
        if not self._called or self._returned or self._source is None or self._sink is None:
            return
        needed = self._wanted * self._input_bytes
        if self._source.size < needed:
            return
        written = self._library.hls_run(
            ctypes.c_void_p(self._source.ctypes.data),
            ctypes.c_void_p(self._sink.ctypes.data),
            ctypes.c_int64(self._sink.size),
            ctypes.c_uint(self._wanted),
        )
        if written in _REASONS:
            raise VerificationError(f"the simulated function is wrong: {_REASONS[written]}")
        self.overrun = written == _NO_ROOM
        self.received = self._sink.size if self.overrun else written
        self.unsent, self.ended = self._source.size - needed, True
        self._source, self._returned = None, True


class SimulatedHls(BoardMemory):
    """A board with the accelerator of target hls4ml; a `driver.Backend`.

    Args:
        library: from `compile_hls`, or an object with its two functions.
        description: of the accelerator.

    Raises:
        OptionError: the description is of another kind of accelerator.
    """

    def __init__(self, library: Any, description: Description) -> None:
        super().__init__()
        if description.control != HLS:
            raise OptionError(
                f"description must be of target hls4ml, not of one with control "
                f"{description.control!r}"
            )
        self._library = _load(library) if isinstance(library, Path) else library
        self._temporary: TemporaryDirectory[str] | None = None
        self._function = HlsFunction(self._library)
        self.accelerator: Registers = self._function
        bits = description.dma_length_bits
        self.dma: Registers = SimulatedDma(self._function, self.find, bits, 1, START_READS)
        self.reloads = 0

    @classmethod
    def from_build(cls, folder: str | os.PathLike[str]) -> tuple[SimulatedHls, Description]:
        """The board of a build folder of target hls4ml, and its description.

        Raises:
            DataError: the folder is none.
            ToolMissingError: no C++ compiler is installed.
        """
        shell = Path(folder) / "shell"
        for name in ("accelerator.json", "firmware", "standin"):
            if not (shell / name).exists():
                raise DataError(f"{folder}: is no build of target hls4ml: it has no shell/{name}")
        description = Description.load(shell / "accelerator.json")
        temporary = TemporaryDirectory(prefix="qfx-hls-")
        library = compile_hls(shell, description, Path(temporary.name) / "board.so")
        board = cls(library, description)
        board._temporary = temporary
        return board, description

    def reload(self) -> None:
        """As after the bitstream is loaded: idle, no samples, the DMA halted."""
        self._function.restart()
        self.dma.write(reg.MM2S + reg.DMACR, reg.RESET)
        self.reloads += 1

    def watts(self) -> dict[str, float]:
        """There is nothing to measure.

        Raises:
            NoPowerSensor: always.
        """
        raise NoPowerSensor("a simulation measures no power")

    def close(self) -> None:
        """Remove what was compiled."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


def _load(path: Path) -> Any:
    library = ctypes.CDLL(str(path))
    library.hls_run.restype = ctypes.c_int64
    return library
