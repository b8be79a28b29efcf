"""The board as PYNQ shows it: the overlay is loaded, registers are mapped, memory is shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .description import Description
from .errors import AcceleratorError
from .power import measured

WINDOW = 1 << 16


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
        self._array.flush()

    def invalidate(self) -> None:
        """Forget the processor's cache."""
        self._array.invalidate()

    def free(self) -> None:
        """Give the memory back."""
        self._array.freebuffer()


class PynqBackend:
    """A PYNQ board.

    Args:
        bitfile: the `.bit`; its `.hwh` lies beside it.
        description: of the accelerator; it has the addresses.

    Raises:
        AcceleratorError: PYNQ is not installed, or cannot load the overlay.
    """

    def __init__(self, bitfile: Path, description: Description) -> None:
        try:
            import pynq
        except ImportError as error:
            raise AcceleratorError(
                "PYNQ is not installed: run this on the board, or give a backend"
            ) from error
        for path in (bitfile, bitfile.with_suffix(".hwh")):
            if not path.is_file():
                raise AcceleratorError(f"overlay: there is no file {path}")
        self._pynq = pynq
        self._overlay = pynq.Overlay(str(bitfile))
        self.accelerator = pynq.MMIO(description.accelerator_address, WINDOW)
        self.dma = pynq.MMIO(description.dma_address, WINDOW)

    def allocate(self, size: int) -> PynqBuffer:
        """Memory that processor and DMA share."""
        return PynqBuffer(self._pynq.allocate(shape=(size,), dtype=np.uint8))

    def watts(self) -> dict[str, float]:
        """Power of each rail in W.

        Raises:
            NoPowerSensor: the board does not measure it.
        """
        get_rails = getattr(self._pynq, "get_rails", None)
        return measured(get_rails() if get_rails else {})

    def reload(self) -> None:
        """Load the bitstream again."""
        self._overlay.download()

    def close(self) -> None:
        """The overlay stays loaded: other programs may use it."""
