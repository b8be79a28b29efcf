"""A stand-in for AXI DMA at the level of its registers: direct register mode, as in AMD PG021.

What software can see is modelled: run and halt, some time until a channel runs, idle only after a
first transfer, a transfer that begins with the write of its length, completion bits that are
cleared by writing them, the number of bytes received, errors for a length of no memory and for a
packet longer than its buffer, and a reset of both channels. Beats travel in `board.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..driver import registers as reg

START_READS = 2
"""What the simulated boards give a channel to begin to run."""

Memory = Callable[[int, int], "NDArray[np.uint8] | None"]
"""Bytes of an address and a length, or None where there is no memory."""


class Streams(Protocol):
    """What moves the beats."""

    @property
    def unsent(self) -> int:
        """Bytes still to send."""

    @property
    def received(self) -> int:
        """Bytes received so far."""

    @property
    def ended(self) -> bool:
        """Whether TLAST has come."""

    @property
    def overrun(self) -> bool:
        """Whether more came than there was room for."""

    def run(self, cycles: int) -> None:
        """Let time go by."""

    def send(self, data: NDArray[np.uint8]) -> None:
        """Begin to send bytes, TLAST with the last beat."""

    def receive(self, data: NDArray[np.uint8]) -> None:
        """Begin to receive, until TLAST or until the memory is full."""

    def stop(self) -> None:
        """End both directions at once."""


@dataclass
class _Channel:
    """One direction.

    Attributes:
        running: the bit RS of its control register.
        waits: so many reads of its status still show it halted.
        idle: the last transfer has ended; false before the first.
        flags: completion and error bits of its status.
        busy: a transfer is under way.
        length: the register LENGTH.
        address: both halves of the address.
    """

    running: bool = False
    waits: int = 0
    idle: bool = False
    flags: int = 0
    busy: bool = False
    length: int = 0
    address: dict[int, int] = field(default_factory=lambda: {reg.ADDRESS: 0, reg.ADDRESS_HIGH: 0})

    @property
    def status(self) -> int:
        """The status register."""
        return self.flags | (reg.IDLE if self.idle else 0) | (0 if self.running else reg.HALTED)

    def end(self, flags: int) -> None:
        """The transfer is over; an error halts the channel."""
        self.busy, self.flags = False, self.flags | flags
        if flags == reg.COMPLETE:
            self.idle = True
        else:
            self.running = False


class SimulatedDma:
    """Registers of an AXI DMA.

    Args:
        engine: that moves the beats.
        memory: that addresses point into.
        length_bits: width of the length registers.
        cycles_per_access: clock cycles that go by in an access of the processor.
        start_reads: so many reads of the status show a channel halted that was told to run.
    """

    def __init__(
        self,
        engine: Streams,
        memory: Memory,
        length_bits: int,
        cycles_per_access: int,
        start_reads: int = 0,
    ) -> None:
        self._start_reads = start_reads
        self._engine, self._memory = engine, memory
        self._mask = (1 << length_bits) - 1
        self._cycles = cycles_per_access
        self._channels = {reg.MM2S: _Channel(), reg.S2MM: _Channel()}

    def read(self, offset: int) -> int:
        """A register; time goes by."""
        self._tick()
        base, place = _split(offset)
        channel = self._channels[base]
        if place == reg.DMACR:
            return reg.RUN if channel.running else 0
        if place == reg.DMASR:
            status = channel.status | (reg.HALTED if channel.waits else 0)
            channel.waits = max(0, channel.waits - 1)
            return status
        if place == reg.LENGTH:
            return channel.length
        return channel.address.get(place, 0)

    def write(self, offset: int, value: int) -> None:
        """Set a register; time goes by."""
        self._tick()
        base, place = _split(offset)
        channel = self._channels[base]
        if place == reg.DMACR:
            self._control(channel, value)
        elif place == reg.DMASR:
            channel.flags &= ~(value & reg.COMPLETE)
        elif place == reg.LENGTH:
            self._transfer(base, channel, value & self._mask)
        elif place in channel.address:
            channel.address[place] = value

    def _control(self, channel: _Channel, value: int) -> None:
        if value & reg.RESET:
            self._engine.stop()
            self._channels = {base: _Channel() for base in self._channels}
        elif value & reg.RUN:
            # A channel that an error has halted comes back by a reset only.
            channel.waits = 0 if channel.running else self._start_reads
            channel.running = not channel.flags & ~reg.COMPLETE
        else:
            channel.running = False

    def _transfer(self, base: int, channel: _Channel, length: int) -> None:
        """The write of the length begins a transfer, if the channel runs and has none."""
        if not channel.running or channel.waits or channel.busy or not length:
            return
        channel.length, channel.idle, channel.busy = length, False, True
        address = channel.address[reg.ADDRESS] | channel.address[reg.ADDRESS_HIGH] << 32
        data = self._memory(address, length)
        if data is None:
            channel.end(reg.DECODE_ERROR)
        elif base == reg.MM2S:
            self._engine.send(data)
        else:
            self._engine.receive(data)

    def _tick(self) -> None:
        self._engine.run(self._cycles)
        sender, receiver = self._channels[reg.MM2S], self._channels[reg.S2MM]
        if sender.busy and not self._engine.unsent:
            sender.end(reg.COMPLETE)
        if receiver.busy and self._engine.ended:
            receiver.length = self._engine.received
            receiver.end(reg.INTERNAL_ERROR if self._engine.overrun else reg.COMPLETE)


def _split(offset: int) -> tuple[int, int]:
    base = reg.S2MM if offset >= reg.S2MM else reg.MM2S
    return base, offset - base
