"""The stand-in for AXI DMA behaves as AMD PG021 describes the registers."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.driver import registers as reg
from qfx_plugin.shell.simulated_dma import SimulatedDma


class Engine:
    """Moves a beat in every cycle; `packet` bytes come from the accelerator."""

    def __init__(self, packet: int = 64) -> None:
        self.packet, self.unsent, self.received = packet, 0, 0
        self.ended = self.overrun = False
        self.room = None

    def run(self, cycles):
        self.unsent = max(0, self.unsent - 8 * cycles)
        if self.room is not None and not self.ended:
            self.received = min(self.received + 8 * cycles, self.packet)
            self.overrun = self.received > self.room
            self.ended = self.overrun or self.received == self.packet

    def send(self, data):
        self.unsent = data.size

    def receive(self, data):
        self.room, self.received, self.ended, self.overrun = data.size, 0, False, False

    def stop(self):
        self.unsent, self.room = 0, None


MEMORY = np.zeros(4096, dtype=np.uint8)


def find(address, length):
    return MEMORY[address : address + length] if address + length <= MEMORY.size else None


@pytest.fixture
def dma():
    return SimulatedDma(Engine(), find, 12, 2)


def start(dma, base, address, length):
    dma.write(base + reg.DMACR, reg.RUN)
    dma.write(base + reg.ADDRESS, address)
    dma.write(base + reg.LENGTH, length)


def status(dma, base):
    return dma.read(base + reg.DMASR)


def test_halted_until_it_runs_and_idle_only_after_a_transfer(dma):
    assert status(dma, reg.MM2S) == reg.HALTED
    dma.write(reg.DMACR, reg.RUN)
    assert status(dma, reg.MM2S) == 0 and dma.read(reg.DMACR) == reg.RUN
    assert status(dma, reg.S2MM) == reg.HALTED


def test_a_transfer_to_the_stream(dma):
    start(dma, reg.MM2S, 128, 200)
    assert status(dma, reg.MM2S) == 0
    for _ in range(20):
        last = status(dma, reg.MM2S)
    assert last == reg.IDLE | reg.COMPLETE
    dma.write(reg.DMASR, reg.COMPLETE)
    assert status(dma, reg.MM2S) == reg.IDLE
    assert dma.read(reg.ADDRESS) == 128


def test_a_transfer_to_memory_tells_how_much_came(dma):
    start(dma, reg.S2MM, 0, 100)
    for _ in range(8):
        dma.read(reg.S2MM + reg.DMASR)
    assert status(dma, reg.S2MM) == reg.IDLE | reg.COMPLETE
    assert dma.read(reg.S2MM + reg.LENGTH) == 64


def test_nothing_starts_without_run_or_without_a_length(dma):
    dma.write(reg.LENGTH, 64)
    assert status(dma, reg.MM2S) == reg.HALTED
    start(dma, reg.MM2S, 0, 0)
    assert status(dma, reg.MM2S) == 0
    # The length register has 12 bits here; the rest is cut off.
    start(dma, reg.MM2S, 0, 1 << 12)
    assert status(dma, reg.MM2S) == 0


def test_a_packet_that_is_longer_than_its_buffer(dma):
    start(dma, reg.S2MM, 0, 32)
    for _ in range(8):
        dma.read(reg.S2MM + reg.DMASR)
    assert status(dma, reg.S2MM) == reg.HALTED | reg.INTERNAL_ERROR
    dma.write(reg.S2MM + reg.DMASR, reg.COMPLETE)
    dma.write(reg.S2MM + reg.DMACR, reg.RUN)
    assert status(dma, reg.S2MM) == reg.HALTED | reg.INTERNAL_ERROR


def test_an_address_without_memory(dma):
    start(dma, reg.MM2S, 4000, 200)
    assert status(dma, reg.MM2S) == reg.HALTED | reg.DECODE_ERROR


def test_a_reset_of_one_channel_resets_both(dma):
    start(dma, reg.S2MM, 0, 32)
    start(dma, reg.MM2S, 4000, 200)
    dma.write(reg.DMACR, reg.RESET)
    assert dma.read(reg.DMACR) == 0
    assert status(dma, reg.MM2S) == status(dma, reg.S2MM) == reg.HALTED
