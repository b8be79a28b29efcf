"""AXI DMA in direct register mode (AMD PG021): one transfer in each direction at a time."""

from __future__ import annotations

import time

from . import registers as reg
from .backend import Registers
from .errors import AcceleratorError, AcceleratorTimeoutError

RESET_SECONDS = 1.0
START_SECONDS = 0.1


class DmaChannel:
    """One direction of the DMA.

    Args:
        registers: of the whole DMA.
        base: `registers.MM2S` or `registers.S2MM`.
        name: for messages.
    """

    def __init__(self, registers: Registers, base: int, name: str) -> None:
        self._registers, self._base, self.name = registers, base, name

    def start(self, address: int, length: int) -> None:
        """Begin a transfer of `length` bytes; the length is written last, which starts it.

        Raises:
            AcceleratorError: the channel does not run.
        """
        self._write(reg.DMASR, reg.COMPLETE)
        self._write(reg.DMACR, reg.RUN)
        end = time.monotonic() + START_SECONDS
        while self._read(reg.DMASR) & reg.HALTED:  # it takes some cycles (PG021)
            if time.monotonic() > end:
                raise AcceleratorError(f"DMA {self.name}: is halted and does not start")
        self._write(reg.ADDRESS, address & 0xFFFF_FFFF)
        self._write(reg.ADDRESS_HIGH, address >> 32)
        self._write(reg.LENGTH, length)

    def finished(self) -> bool:
        """Whether the transfer has ended.

        Raises:
            AcceleratorError: the channel reports an error.
        """
        status = self._read(reg.DMASR)
        for bit, meaning in reg.ERRORS.items():
            if status & bit:
                raise AcceleratorError(f"DMA {self.name}: {meaning} (status 0x{status:08x})")
        return bool(status & reg.COMPLETE)

    def moved(self) -> int:
        """Bytes that the last transfer into memory brought."""
        return self._read(reg.LENGTH)

    def status(self) -> int:
        """The status register."""
        return self._read(reg.DMASR)

    def reset(self) -> None:
        """Stop at once and forget what is under way. It resets both channels.

        Raises:
            AcceleratorTimeoutError: the bit does not clear.
        """
        self._write(reg.DMACR, reg.RESET)
        end = time.monotonic() + RESET_SECONDS
        while self._read(reg.DMACR) & reg.RESET:
            if time.monotonic() > end:
                raise AcceleratorTimeoutError(f"DMA {self.name}: does not come out of reset")

    def _read(self, offset: int) -> int:
        return self._registers.read(self._base + offset)

    def _write(self, offset: int, value: int) -> None:
        self._registers.write(self._base + offset, value)
