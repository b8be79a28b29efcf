"""How a run is begun and watched: registers of our AXI shell, or those that Vitis HLS makes."""

from __future__ import annotations

import time
from typing import Protocol

from . import registers as reg
from .backend import Backend
from .description import HLS, Description
from .dma import RESET_SECONDS
from .errors import AcceleratorTimeoutError, WrongBitstreamError
from .figures import Figures


class Control(Protocol):
    """The registers of one kind of accelerator."""

    def check(self) -> None:
        """Compare what the registers say with the description.

        Raises:
            WrongBitstreamError: the logic is another accelerator, or none of ours.
        """

    def reset(self) -> None:
        """Forget everything that is under way.

        Raises:
            AcceleratorTimeoutError: it does not come out of its reset.
        """

    def begin(self, samples: int) -> None:
        """Let it run on `samples` samples."""

    def finished(self) -> bool:
        """Whether it is done, once the DMA has all results."""

    def figures(self, samples: int, seconds: float) -> Figures:
        """What it counted in a transfer that took `seconds` by the processor's clock."""

    def status(self) -> int:
        """The status register."""

    def state(self) -> str:
        """How far a run is, for a message."""


def control_of(backend: Backend, description: Description) -> Control:
    """The control that the description names."""
    kind = HlsControl if description.control == HLS else ShellControl
    return kind(backend, description)


class ShellControl:
    """The AXI shell of target rtl: it knows its network, and counts.

    Args:
        backend: the board.
        description: of the accelerator.
    """

    def __init__(self, backend: Backend, description: Description) -> None:
        self._registers, self._description = backend.accelerator, description

    def check(self) -> None:
        """Identity, version, and the network's id.

        Raises:
            WrongBitstreamError: one of them is another.
        """
        read, want = self._registers.read, self._description
        if read(reg.ID) != reg.MAGIC:
            raise WrongBitstreamError(
                f"there is no QFX accelerator at 0x{want.accelerator_address:08x}: its first "
                f"register is 0x{read(reg.ID):08x}, not 0x{reg.MAGIC:08x}"
            )
        version = read(reg.SHELL_VERSION)
        if version >> 16 != reg.VERSION >> 16:
            raise WrongBitstreamError(
                f"the shell on the board must have version {reg.VERSION >> 16}, not {version >> 16}"
            )
        found = "".join(read(offset).to_bytes(4, "little").hex() for offset in reg.NETWORK_ID)
        if found != want.network_id:
            raise WrongBitstreamError(
                f"the bitstream on the board is of another network: {want.network!r} has the id "
                f"{want.network_id}, the board has {found}"
            )

    def reset(self) -> None:
        """By its soft reset.

        Raises:
            AcceleratorTimeoutError: it does not come out of it.
        """
        self._registers.write(reg.CONTROL, reg.SOFT_RESET)
        end = time.monotonic() + RESET_SECONDS
        while self._registers.read(reg.STATUS) & reg.RESETTING:
            if time.monotonic() > end:
                raise AcceleratorTimeoutError("the accelerator does not come out of reset")

    def begin(self, samples: int) -> None:
        """Open the streams for `samples` samples."""
        self._registers.write(reg.FRAMES, samples)
        self._registers.write(reg.CONTROL, reg.START)

    def finished(self) -> bool:
        """Always: the last result's last beat ends a run."""
        return True

    def figures(self, samples: int, seconds: float) -> Figures:
        """The counters."""
        read = self._registers.read
        return Figures(
            samples,
            1,
            read(reg.CYCLES_LOW) | read(reg.CYCLES_HIGH) << 32,
            read(reg.LATENCY),
            read(reg.INPUT_WAITS),
            read(reg.INPUT_STALLS),
            read(reg.OUTPUT_STALLS),
            seconds,
        )

    def status(self) -> int:
        """Of the shell."""
        return self._registers.read(reg.STATUS)

    def state(self) -> str:
        """Samples that went in and came out."""
        read = self._registers.read
        text = (
            f"{read(reg.FRAMES_IN)} of {read(reg.FRAMES)} samples went in, "
            f"{read(reg.FRAMES_OUT)} came out"
        )
        if self.status() & reg.BAD_LENGTH:
            text += "; the DMA sent another number of bytes than the samples have"
        return text


class HlsControl:
    """A function of Vitis HLS with the argument `samples`, as target hls4ml writes it.

    It holds no id, counts nothing, and cannot be reset alone: one that hangs is loaded anew.

    Args:
        backend: the board.
        description: of the accelerator.
    """

    def __init__(self, backend: Backend, description: Description) -> None:
        self._backend, self._description = backend, description
        self._registers = backend.accelerator

    def check(self) -> None:
        """Whether there are such registers at all.

        Raises:
            WrongBitstreamError: there are not.
        """
        status = self._registers.read(reg.HLS_CONTROL)
        self._registers.write(reg.HLS_SAMPLES, 1)
        if status & ~reg.HLS_BITS or self._registers.read(reg.HLS_SAMPLES) != 1:
            raise WrongBitstreamError(
                f"there is no accelerator of Vitis HLS at "
                f"0x{self._description.accelerator_address:08x}: its control register is "
                f"0x{status:08x}"
            )

    def reset(self) -> None:
        """Nothing if it is idle; else the bitstream is loaded again.

        Raises:
            AcceleratorTimeoutError: it is not idle then either.
        """
        if self._is_idle():
            return
        self._backend.reload()
        if not self._is_idle():
            raise AcceleratorTimeoutError(
                "the accelerator is not idle after its bitstream was loaded again"
            )

    def begin(self, samples: int) -> None:
        """Call the function."""
        self._registers.write(reg.HLS_SAMPLES, samples)
        self._registers.write(reg.HLS_CONTROL, reg.HLS_START)

    def finished(self) -> bool:
        """Whether the function has returned."""
        return bool(self._registers.read(reg.HLS_CONTROL) & (reg.HLS_DONE | reg.HLS_IDLE))

    def figures(self, samples: int, seconds: float) -> Figures:
        """By the processor's clock alone."""
        return Figures(samples=samples, transfers=1, seconds=seconds)

    def status(self) -> int:
        """The control register."""
        return self._registers.read(reg.HLS_CONTROL)

    def state(self) -> str:
        """Whether the function is under way."""
        samples = self._registers.read(reg.HLS_SAMPLES)
        ended = "has" if self._is_idle() else "has not"
        return f"the call with {samples} samples {ended} returned"

    def _is_idle(self) -> bool:
        return bool(self.status() & reg.HLS_IDLE)
