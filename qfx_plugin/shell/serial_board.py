"""`SerialBoard`: a board at a serial port; to the driver it is a board like any other.

    with open_serial("/dev/ttyUSB0", "accelerator.json") as accelerator:
        logits = accelerator.run(images)

Frames are those of `sv/uart/qfx_uart_link.sv`. Each has a checksum: what is lost or damaged on the
line is an error, never another code, and the next run begins anew.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..driver import QfxAccelerator
from ..driver.backend import Registers
from ..driver.description import Description
from ..driver.errors import AcceleratorError, NoPowerSensor
from ..errors import DataError, OptionError, ToolMissingError
from .simulated_board import BoardMemory
from .simulated_dma import SimulatedDma

READ, WRITE, SEND, FETCH, CLEAR, REFUSED = 0x01, 0x02, 0x03, 0x04, 0x05, 0xEE
LAST = 0x10
"""Of SEND and FETCH: with the last beat of a transfer."""

ROOM = 240
"""Bytes of a frame: whole beats of each bus."""

ANSWER_S, RUN_S = 1.0, 5.0
"""Until an answer begins, and what a transfer should take at most."""

REASONS = {
    1: "a frame came in damaged: its checksum is wrong",
    2: "a frame broke off: a byte was lost, or came too late",
    3: "a frame makes no sense to it: bitstream and QFX are of different versions",
}


class Port(Protocol):
    """A serial port, as pyserial has it."""

    def write(self, data: bytes) -> Any:
        """Send bytes."""

    def read(self, size: int) -> bytes:
        """As many bytes as came before the port's timeout, at most `size`."""

    def reset_input_buffer(self) -> None:
        """Forget what has come."""

    def close(self) -> None:
        """Give the port back."""


def open_serial(
    port: str | Port,
    description: Description | str | os.PathLike[str],
    *,
    baud: int = 115_200,
    timeout: float | None = None,
) -> QfxAccelerator:
    """An accelerator at a serial port, with transfers that are short enough for it.

    Args:
        port: its name ("/dev/ttyUSB0", "COM3"), or an open one.
        description: `accelerator.json` or its path.
        baud: of the bitstream.
        timeout: seconds after which a transfer counts as stuck; by default several times what the
            line needs.

    Raises:
        ToolMissingError: pyserial is not installed.
        DataError: there is no such port.
        AcceleratorError: nothing answers.
        WrongBitstreamError: the logic on the board is another accelerator.
    """
    if not isinstance(description, Description):
        description = Description.load(description)
    layouts = (description.input_layout, description.output_layout)
    size = sum(layout.sample_bytes for layout in layouts)
    samples = max(1, min(description.most_frames, int(RUN_S * baud / 10 / 2 / size)))
    board = SerialBoard(port, description, baud=baud)
    if timeout is None:
        timeout = 10.0 + 20 * samples * size / (baud / 10)
    return QfxAccelerator(board, description, timeout=timeout, transfer_samples=samples)


class SerialBoard(BoardMemory):
    """A `driver.Backend` over a serial port; the DMA that the driver sees is software.

    Args:
        port: its name, or an open one.
        description: of the accelerator.
        baud: of the bitstream.

    Raises:
        ToolMissingError: pyserial is not installed.
        DataError: there is no such port.
    """

    def __init__(self, port: str | Port, description: Description, *, baud: int = 115_200) -> None:
        super().__init__()
        self._port = _opened(port, baud) if isinstance(port, str) else port
        link = SerialLink(self._port)
        self.accelerator: Registers = _Registers(link)
        streams = _Streams(link, description.input_layout.bus_bits // 8)
        self.dma: Registers = SimulatedDma(streams, self.find, description.dma_length_bits, 1)

    def watts(self) -> dict[str, float]:
        """Such boards do not tell.

        Raises:
            NoPowerSensor: always.
        """
        raise NoPowerSensor("a board at a serial port measures no power")

    def reload(self) -> None:
        """The shell has a reset of its own.

        Raises:
            OptionError: always.
        """
        raise OptionError("board: an accelerator at a serial port is reset, not loaded again")

    def close(self) -> None:
        """Give the port back."""
        self._port.close()


class SerialLink:
    """Requests and replies.

    Args:
        port: open.
    """

    def __init__(self, port: Port) -> None:
        self._port = port
        self._tag = 0

    def request(self, op: int, payload: bytes = b"") -> tuple[int, bytes]:
        """Send a frame, and wait for its answer: its op and its bytes.

        Raises:
            AcceleratorError: there is none, it is damaged, or the board refuses the frame.
        """
        self._tag = (self._tag + 1) & 0xFF
        try:
            self._port.reset_input_buffer()  # the rest of an answer that was given up
            self._port.write(frame(0x51, op, self._tag, payload))
            found, tag, content = self._answer()
            while tag != self._tag and found != REFUSED:  # to a request that was given up
                found, tag, content = self._answer()
        except OSError as error:  # unplugged, for one
            raise AcceleratorError(f"serial port: {error}") from error
        if found == REFUSED and len(content) == 1:
            raise AcceleratorError(
                f"serial port: the board says that {REASONS.get(content[0], content[0])}; the "
                "next run begins anew"
            )
        if found & ~LAST != op & ~LAST:
            raise AcceleratorError(f"serial port: the answer to 0x{op:02x} is 0x{found:02x}")
        return found, content

    def _answer(self) -> tuple[int, int, bytes]:
        """A frame that comes: its op, tag and bytes."""
        head = self._read(4)
        rest = self._read(head[3] + 2)
        content, found = rest[:-2], int.from_bytes(rest[-2:], "big")
        if head[0] != 0x52 or found != checksum(head[1:] + content):
            raise AcceleratorError(
                "serial port: an answer came in damaged: its checksum is wrong; the next run "
                "begins anew"
            )
        return head[1], head[2], content

    def _read(self, size: int) -> bytes:
        data = self._port.read(size)
        if len(data) < size:
            raise AcceleratorError(
                f"serial port: {len(data)} of {size} bytes of an answer came: a byte was lost, or "
                "port, baud rate or bitstream are of another board; the next run begins anew"
            )
        return bytes(data)


def frame(first: int, op: int, tag: int, payload: bytes) -> bytes:
    """A frame: its first byte, op, tag, size, bytes and checksum."""
    body = bytes((op, tag, len(payload))) + payload
    return bytes((first,)) + body + checksum(body).to_bytes(2, "big")


def checksum(data: bytes) -> int:
    """CRC-16/CCITT-FALSE."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


class _Registers:
    """The accelerator's registers."""

    def __init__(self, link: SerialLink) -> None:
        self._link = link

    def read(self, offset: int) -> int:
        _, content = self._link.request(READ, offset.to_bytes(2, "little"))
        return int.from_bytes(content, "little")

    def write(self, offset: int, value: int) -> None:
        self._link.request(WRITE, offset.to_bytes(2, "little") + value.to_bytes(4, "little"))


class _Streams:
    """What moves the beats of the software DMA: a frame each way whenever somebody looks.

    Attributes:
        unsent: bytes still to send.
        received: bytes received so far.
        ended: whether the last beat has come.
        overrun: whether more came than there was room for.
    """

    def __init__(self, link: SerialLink, beat: int) -> None:
        self._link, self._beat = link, beat
        self._source, self._sink = b"", np.zeros(0, dtype=np.uint8)
        self.unsent = self.received = 0
        self.ended, self.overrun = True, False

    def send(self, data: NDArray[np.uint8]) -> None:
        self._source = data.tobytes()
        self.unsent = len(self._source)

    def receive(self, data: NDArray[np.uint8]) -> None:
        self._sink, self.received, self.ended, self.overrun = data, 0, False, False

    def stop(self) -> None:
        self.unsent, self.ended = 0, True
        self._link.request(CLEAR)

    def run(self, cycles: int) -> None:
        if self.unsent:
            self._push()
        if not self.ended:
            self._pull()

    def _push(self) -> None:
        begin = len(self._source) - self.unsent
        part = self._source[begin : begin + ROOM]
        last = LAST if len(part) == self.unsent else 0
        _, content = self._link.request(SEND | last, part)
        self.unsent -= content[0] * self._beat

    def _pull(self) -> None:
        op, content = self._link.request(FETCH, bytes((ROOM // self._beat,)))
        room = self._sink.size - self.received
        part = np.frombuffer(content[:room], dtype=np.uint8)
        self._sink[self.received : self.received + part.size] = part
        self.received += part.size
        self.overrun |= len(content) > room
        self.ended = bool(op & LAST) or self.overrun


def _opened(name: str, baud: int) -> Port:
    try:
        import serial
    except ModuleNotFoundError:
        raise ToolMissingError(
            "a serial port needs pyserial: pip install 'qfx-plugin[serial]'"
        ) from None
    try:
        port: Port = serial.Serial(name, baud, timeout=ANSWER_S)
    except (OSError, ValueError) as error:
        raise DataError(f"serial port {name!r} cannot be opened: {error}") from error
    return port
