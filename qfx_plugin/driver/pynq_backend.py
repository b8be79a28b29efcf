"""The board as PYNQ shows it: the overlay is loaded, registers are mapped, memory is shared."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .backend import Registers
from .description import Description
from .errors import AcceleratorError, QfxError, WrongBitstreamError
from .overlay import by_content, check_clock, check_network, forget
from .power import measured

WINDOW = 1 << 16
VENV_PYTHON = Path("/usr/local/share/pynq-venv/bin/python3")
"""Where PYNQ's images from 3.0 on have it."""


@contextmanager
def told(what: str) -> Iterator[None]:
    """Any exception of PYNQ as one line of ours."""
    try:
        yield
    except QfxError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or "no message"
        if os.geteuid() != 0:
            reason += "; PYNQ needs root in a login shell: sudo bash -lc 'python3 ...'"
        raise AcceleratorError(f"PYNQ {what}: {type(error).__name__}: {reason}") from error


def import_pynq() -> ModuleType:
    """PYNQ, with the variable without which it finds no device; `sudo` drops that.

    Raises:
        AcceleratorError: it is not installed, or does not start.
    """
    os.environ.setdefault("XILINX_XRT", "/usr")
    try:
        with told("does not start"):
            import pynq
    except AcceleratorError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        if VENV_PYTHON.exists() and Path(sys.executable) != VENV_PYTHON:
            text = f"PYNQ is not installed for {sys.executable}: run this with {VENV_PYTHON}"
        else:
            text = "PYNQ is not installed: run this on the board, or give a backend"
        raise AcceleratorError(text) from error
    return pynq  # type: ignore[no-any-return]


class PynqRegisters:
    """Registers of one block.

    Args:
        mmio: what PYNQ has mapped.
    """

    def __init__(self, mmio: Any) -> None:
        self._mmio = mmio

    def read(self, offset: int) -> int:
        """The register `offset` bytes behind the block's address."""
        with told("cannot read a register"):
            return int(self._mmio.read(offset))

    def write(self, offset: int, value: int) -> None:
        """Set it."""
        with told("cannot write a register"):
            self._mmio.write(offset, value)


class PynqBuffer:
    """Memory of `pynq.allocate`.

    Args:
        array: what PYNQ allocated.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.data = np.asarray(array)
        self.address = int(array.device_address)

    def flush(self) -> None:
        """Write the processor's cache back."""
        with told("cannot flush memory"):
            self._array.flush()

    def invalidate(self) -> None:
        """Forget the processor's cache."""
        with told("cannot invalidate memory"):
            self._array.invalidate()

    def free(self) -> None:
        """Give the memory back."""
        with told("cannot free memory"):
            self._array.freebuffer()


class PynqBackend:
    """A PYNQ board.

    Args:
        bitfile: the `.bit`; its `.hwh` lies beside it.
        description: of the accelerator; it has the addresses.

    Raises:
        AcceleratorError: PYNQ is not installed, cannot load the overlay, or clocks it faster than
            it is built for.
        WrongBitstreamError: the bitstream, or what PYNQ knows of it, is of another design.
    """

    def __init__(self, bitfile: Path, description: Description) -> None:
        self._pynq = import_pynq()
        with told("cannot load the overlay"):
            path = by_content(bitfile)
            check_network(path, description.network, description.network_id)
            forget(self._pynq)
            self._overlay = self._pynq.Overlay(str(path))
            _check_design(self._overlay, description)
        self.clock_mhz = self._clock(description)
        self.accelerator = self._map(description.accelerator_address)
        self.dma = self._map(description.dma_address)

    def _map(self, address: int) -> Registers:
        with told("cannot map registers"):
            return PynqRegisters(self._pynq.MMIO(address, WINDOW))

    def _clock(self, description: Description) -> float | None:
        """What the logic really runs at, in MHz; `None` if PYNQ does not tell."""
        clocks = getattr(self._pynq, "Clocks", None)
        if clocks is None:
            return None
        with told("cannot read the clock"):
            found = float(clocks.fclk0_mhz)
        return check_clock(found, description.clock_mhz)

    def allocate(self, size: int) -> PynqBuffer:
        """Memory that processor and DMA share; it is cached, and the driver flushes it."""
        with told("cannot allocate memory"):
            try:
                array = self._pynq.allocate(shape=(size,), dtype=np.uint8, cacheable=True)
            except TypeError:  # a device without the choice
                array = self._pynq.allocate(shape=(size,), dtype=np.uint8)
            return PynqBuffer(array)

    def watts(self) -> dict[str, float]:
        """Power of each rail in W.

        Raises:
            NoPowerSensor: the board does not measure it.
        """
        get_rails = getattr(self._pynq, "get_rails", None)
        with told("cannot read its sensors"):
            return measured(get_rails() if get_rails else {})

    def reload(self) -> None:
        """Load the bitstream again."""
        with told("cannot load the overlay again"):
            self._overlay.download()

    def close(self) -> None:
        """The overlay stays loaded: other programs may use it."""


def _check_design(overlay: Any, description: Description) -> None:
    """What PYNQ has read of the design is what it was built as, as far as PYNQ tells.

    Raises:
        WrongBitstreamError: it is not.
    """
    blocks = getattr(overlay, "ip_dict", None) or {}
    parameters = dict(blocks.get("dma", {}).get("parameters", {}))
    given = {key.lower(): value for key, value in parameters.items()}
    for name in ("dma", "accelerator"):
        given[f"address of {name}"] = blocks.get(name, {}).get("phys_addr")
    for key, wanted in (
        ("address of dma", description.dma_address),
        ("address of accelerator", description.accelerator_address),
        ("c_m_axis_mm2s_tdata_width", description.input_layout.bus_bits),
        ("c_sg_length_width", description.dma_length_bits),
    ):
        if given.get(key) is not None and int(str(given[key]), 0) != wanted:
            raise _of_another(description, f"{key} must be {wanted}, not {given[key]}")
    kind = blocks.get("accelerator", {}).get("type")  # vendor:library:name:version
    if kind is not None and description.top not in str(kind).split(":"):
        raise _of_another(description, f"its accelerator is {kind}")


def _of_another(description: Description, why: str) -> WrongBitstreamError:
    return WrongBitstreamError(
        f"PYNQ's metadata of the overlay are not of {description.top}: {why}: copy .bit, .hwh and "
        "accelerator.json of one build, and restart the board if they are"
    )
