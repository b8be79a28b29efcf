"""`SimulatedBoard`: a board that exists in Verilator only; the driver cannot tell the difference.

board, description = SimulatedBoard.from_handover("build/handover")
with QfxAccelerator(board, description) as accelerator:
    logits = accelerator.run(images)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from ..driver.backend import Registers
from ..driver.description import Description
from ..driver.errors import NoPowerSensor
from ..errors import DataError, OptionError
from .engine import Engine, compile_board
from .simulated_dma import START_READS, SimulatedDma
from .wrap import NetworkRtl, Shell

POLL_CYCLES = 500
"""Clock cycles that go by in an access to the DMA's registers."""

_FIRST_ADDRESS = 0x1000_0000
_PAGE = 4096


class SimulatedMemory:
    """Memory of one buffer.

    The simulated DMA does not see what the processor wrote until `flush`, nor the processor what
    the DMA wrote until `invalidate`: a driver that forgets them fails here too.

    Args:
        address: where the DMA finds it.
        size: bytes.
    """

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.data = np.zeros(size, dtype=np.uint8)
        self.memory = np.zeros(size, dtype=np.uint8)
        self.freed = False

    def flush(self) -> None:
        """From the processor's cache to memory."""
        self.memory[:] = self.data

    def invalidate(self) -> None:
        """From memory to the processor's cache."""
        self.data[:] = self.memory

    def free(self) -> None:
        """Give it back; the DMA finds nothing there any more."""
        self.freed = True


class BoardMemory:
    """Buffers at addresses of their own, as a DMA finds them."""

    def __init__(self) -> None:
        self.buffers: list[SimulatedMemory] = []

    def allocate(self, size: int) -> SimulatedMemory:
        """Memory at an address of its own."""
        last = self.buffers[-1] if self.buffers else None
        end = last.address + last.data.size if last else _FIRST_ADDRESS
        buffer = SimulatedMemory(-(-end // _PAGE) * _PAGE + _PAGE, size)
        self.buffers.append(buffer)
        return buffer

    def find(self, address: int, length: int) -> NDArray[np.uint8] | None:
        """What the DMA sees there; None where there is no memory."""
        for buffer in self.buffers:
            start = address - buffer.address
            if not buffer.freed and start >= 0 and start + length <= buffer.memory.size:
                return buffer.memory[start : start + length]
        return None


class _Block:
    """The accelerator's registers, over AXI4-Lite."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, offset: int) -> int:
        return self._engine.read(offset)

    def write(self, offset: int, value: int) -> None:
        self._engine.write(offset, value)


class SimulatedBoard(BoardMemory):
    """An accelerator in Verilator with stand-ins for DMA and memory; a `driver.Backend`.

    Args:
        sources: Verilog of network and shell.
        description: of the accelerator.
        memories: files for $readmemh.
        pauses: probability of a pause in each cycle: of both streams and of every register access.
        seed: of the pauses and of the registers' first contents.
        poll_cycles: clock cycles that go by in an access to the DMA's registers.

    Raises:
        ToolMissingError: Verilator or the C++ compiler is not installed.
        TargetError: the sources are wrong.
        OptionError: `pauses` is no probability below 1.
    """

    def __init__(
        self,
        sources: Sequence[Path],
        description: Description,
        *,
        memories: Sequence[Path] = (),
        pauses: float = 0.25,
        seed: int = 0,
        poll_cycles: int = POLL_CYCLES,
    ) -> None:
        super().__init__()
        if not 0 <= pauses < 1:
            raise OptionError(f"pauses must be at least 0 and below 1, not {pauses}")
        model = compile_board(sources, description.top, memories)
        self.engine = Engine(model, pauses, seed)
        self.accelerator: Registers = _Block(self.engine)
        self.dma: Registers = SimulatedDma(
            self.engine, self.find, description.dma_length_bits, poll_cycles, START_READS
        )

    @classmethod
    def of(cls, network: NetworkRtl, shell: Shell, **options: float) -> SimulatedBoard:
        """The board of a network and its shell that are in memory."""
        with TemporaryDirectory(prefix="qfx-board-") as temporary:
            folders = [Path(temporary) / "rtl", Path(temporary) / "shell"]
            for folder, files in zip(folders, (network.files, shell.files), strict=True):
                folder.mkdir()
                for name, text in files.items():
                    (folder / name).write_text(text, encoding="utf-8")
            return cls.from_folders(folders, shell.description, **options)

    @classmethod
    def from_folders(
        cls, folders: Sequence[Path], description: Description, **options: float
    ) -> SimulatedBoard:
        """The board of all sources and memories in `folders`."""
        files = [path for folder in folders for path in sorted(folder.iterdir())]
        sources = [path for path in files if path.suffix in (".v", ".sv")]
        memories = [path for path in files if path.suffix == ".mem"]
        return cls(sources, description, memories=memories, **options)  # type: ignore[arg-type]

    @classmethod
    def from_handover(
        cls, folder: str | os.PathLike[str], **options: float
    ) -> tuple[SimulatedBoard, Description]:
        """The board of a hand-over folder of target rtl, and its description.

        Raises:
            DataError: the folder is none.
        """
        root = Path(folder)
        for name in ("rtl", "shell", "overlay/accelerator.json"):
            if not (root / name).exists():
                raise DataError(f"{root}: is no hand-over of target rtl: it has no {name}")
        description = Description.load(root / "overlay" / "accelerator.json")
        board = cls.from_folders([root / "rtl", root / "shell"], description, **options)
        return board, description

    def watts(self) -> dict[str, float]:
        """There is nothing to measure.

        Raises:
            NoPowerSensor: always.
        """
        raise NoPowerSensor("a simulation measures no power")

    def reload(self) -> None:
        """The shell has a reset of its own: the driver does not load its bitstream again.

        Raises:
            OptionError: always.
        """
        raise OptionError("board: a simulated AXI shell is reset by its registers, not reloaded")

    def close(self) -> None:
        """End the simulation."""
        self.engine.close()
