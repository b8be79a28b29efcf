"""What is written to registers and read from them, with addresses and counts of every size."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from qfx_plugin.driver import AcceleratorError, WrongBitstreamError
from qfx_plugin.driver import registers as reg
from qfx_plugin.driver.control import ShellControl
from qfx_plugin.driver.dma import DmaChannel
from tests.driver.test_layout import description

NETWORK_ID = "00112233445566778899aabbccddeeff"


class Registers:
    """Values by offset; every write is noted."""

    def __init__(self, **values: int) -> None:
        self.values: dict[int, int] = {getattr(reg, name): v for name, v in values.items()}
        self.written: list[tuple[int, int]] = []

    def read(self, offset: int) -> int:
        return self.values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.written.append((offset, value))


@pytest.mark.parametrize("base", [reg.MM2S, reg.S2MM])
@pytest.mark.parametrize("address", [0x10, 0xFFFF_FFF0, 0x1_0000_0000, 0x8_7654_3210])
def test_addresses_above_4_gib(base, address):
    registers = Registers()
    DmaChannel(registers, base, "to memory").start(address, 96)
    written = {offset - base: value for offset, value in registers.written}
    assert written[reg.ADDRESS] == address % 2**32
    assert written[reg.ADDRESS_HIGH] == address // 2**32
    assert registers.written[-1] == (base + reg.LENGTH, 96)  # which starts it


def test_a_channel_that_is_halted():
    registers = Registers()
    registers.values[reg.S2MM + reg.DMASR] = reg.HALTED
    with pytest.raises(AcceleratorError, match="^DMA to memory: is halted and does not start$"):
        DmaChannel(registers, reg.S2MM, "to memory").start(0, 8)


def test_a_channel_that_takes_its_time_to_run():
    """PG021: it leaves the state halted some cycles after its bit is set."""
    registers = Registers()
    answers = iter([reg.HALTED] * 5 + [0] * 5)
    registers.read = lambda offset: next(answers)
    DmaChannel(registers, reg.MM2S, "to it").start(64, 8)
    assert registers.written[-1] == (reg.LENGTH, 8) and next(answers) == 0


@pytest.mark.parametrize("bit", reg.ERRORS)
def test_errors_of_a_channel_before_its_end(bit):
    registers = Registers()
    registers.values[reg.MM2S + reg.DMASR] = bit | reg.COMPLETE
    with pytest.raises(AcceleratorError, match="^DMA to it: ") as error:
        DmaChannel(registers, reg.MM2S, "to it").finished()
    assert reg.ERRORS[bit] in str(error.value)


@pytest.mark.parametrize("cycles", [7, 2**32 - 1, 2**32, 5 * 2**32 + 3])
def test_counters_of_more_than_32_bits(cycles):
    registers = Registers(
        CYCLES_LOW=cycles % 2**32, CYCLES_HIGH=cycles // 2**32, LATENCY=11, INPUT_WAITS=12,
        INPUT_STALLS=13, OUTPUT_STALLS=14,
    )  # fmt: skip
    found = ShellControl(SimpleNamespace(accelerator=registers), description()).figures(9, 0.5)
    assert (found.samples, found.transfers, found.cycles, found.latency_cycles) == (
        9,
        1,
        cycles,
        11,
    )
    assert (found.input_waits, found.input_stalls, found.output_stalls) == (12, 13, 14)


def shell(network_id: str) -> ShellControl:
    registers = Registers(ID=reg.MAGIC, SHELL_VERSION=reg.VERSION)
    for offset, at in zip(reg.NETWORK_ID, range(0, 32, 8), strict=True):
        registers.values[offset] = int.from_bytes(bytes.fromhex(network_id[at : at + 8]), "little")
    wanted = replace(description(), network_id=NETWORK_ID)
    return ShellControl(SimpleNamespace(accelerator=registers), wanted)


def test_the_whole_id_of_a_network_counts():
    shell(NETWORK_ID).check()
    for digit in range(32):
        other = NETWORK_ID[:digit] + format(int(NETWORK_ID[digit], 16) ^ 1, "x")
        with pytest.raises(WrongBitstreamError, match="is of another network"):
            shell(other + NETWORK_ID[digit + 1 :]).check()
