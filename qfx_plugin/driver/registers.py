"""The registers of accelerators and of the AXI DMA, by name. Offsets are in bytes.

The shell's are those of `qfx_plugin/shell/sv/qfx_shell_registers.sv`; those of a function of Vitis
HLS are of AMD UG1399; the DMA's are of AMD PG021, "AXI DMA", direct register mode (no descriptors).
"""

from __future__ import annotations

MAGIC = 0x31584651
"""Content of `ID`: "QFX1", the first letter in the lowest byte."""

VERSION = 0x0001_0000
"""Content of `SHELL_VERSION` that this driver is written for: major, minor."""

# Who is there.
ID = 0x00
SHELL_VERSION = 0x04
NETWORK_ID = (0x08, 0x0C, 0x10, 0x14)
INPUT_FORMAT = 0x18
OUTPUT_FORMAT = 0x1C
INPUT_BEATS = 0x20
OUTPUT_BEATS = 0x24
CLOCK_KHZ = 0x28

# One run.
CONTROL = 0x30
STATUS = 0x34
FRAMES = 0x38
FRAMES_IN = 0x40
FRAMES_OUT = 0x44
CYCLES_LOW = 0x48
CYCLES_HIGH = 0x4C
LATENCY = 0x50
INPUT_WAITS = 0x54
INPUT_STALLS = 0x58
OUTPUT_STALLS = 0x5C

START = 1 << 0
"""Bit of CONTROL: begin a run of FRAMES frames."""

SOFT_RESET = 1 << 1
"""Bit of CONTROL: forget all data that are under way."""

RUNNING, DONE, BAD_LENGTH, RESETTING = (1 << bit for bit in range(4))
"""Bits of STATUS."""

MIXED_POINTS = 0x80
"""Binary point in a format word where channels differ."""


def format_word(width: int, signed: bool, bits: int, frac_bits: int | None) -> int:
    """What INPUT_FORMAT and OUTPUT_FORMAT hold.

    Args:
        width: bits of the widest code.
        signed: whether slots hold two's complement.
        bits: of a slot.
        frac_bits: bits right of the binary point, or None if channels differ.

    Returns:
        Lowest byte `width`, then `signed`, `bits`, and the binary point as a signed byte; points
        below -127 or above 127 count as different ones.
    """
    far = frac_bits is None or not -127 <= frac_bits <= 127
    point = MIXED_POINTS if far else int(frac_bits or 0) & 0xFF
    return (width & 0xFF) | (int(signed) << 8) | ((bits & 0xFF) << 16) | (point << 24)


# A function of Vitis HLS with AXI-Lite (UG1399, "S_AXILITE Control Register Map").
HLS_CONTROL = 0x00
HLS_SAMPLES = 0x10

HLS_START, HLS_DONE, HLS_IDLE, HLS_READY = (1 << bit for bit in range(4))
"""Bits of HLS_CONTROL; DONE is cleared by reading it."""

HLS_BITS = 0x28F
"""All bits of HLS_CONTROL that can be set: also restart (7) and interrupt (9)."""

# AXI DMA: memory to stream (MM2S), stream to memory (S2MM).
MM2S, S2MM = 0x00, 0x30
"""Where the two channels' registers begin."""

DMACR, DMASR, ADDRESS, ADDRESS_HIGH, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
"""Registers of a channel: control, status, address of the buffer, length in bytes."""

RUN = 1 << 0
RESET = 1 << 2
"""Bits of DMACR."""

HALTED = 1 << 0
IDLE = 1 << 1
INTERNAL_ERROR = 1 << 4
SLAVE_ERROR = 1 << 5
DECODE_ERROR = 1 << 6
COMPLETE = 1 << 12
"""Bits of DMASR; COMPLETE (IOC_Irq) is cleared by writing it."""

ERRORS = {
    INTERNAL_ERROR: "internal error: a packet is longer than its buffer, or memory took no write",
    SLAVE_ERROR: "slave error: memory refused an access",
    DECODE_ERROR: "decode error: there is no memory at the address",
}
"""What DMASR's errors mean (PG021); each halts the channel until the DMA is reset."""
