"""What the driver needs of a board: two sets of registers, memory for the DMA, power."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Registers(Protocol):
    """Registers of one block, 32 bits wide."""

    def read(self, offset: int) -> int:
        """The register `offset` bytes behind the block's address."""

    def write(self, offset: int, value: int) -> None:
        """Set it."""


class Buffer(Protocol):
    """Memory that processor and DMA share.

    Attributes:
        data: (bytes,) uint8, what the processor sees.
        address: where the DMA finds it.
    """

    data: NDArray[np.uint8]
    address: int

    def flush(self) -> None:
        """Make what the processor wrote visible to the DMA."""

    def invalidate(self) -> None:
        """Make what the DMA wrote visible to the processor."""

    def free(self) -> None:
        """Give the memory back."""


class Backend(Protocol):
    """A board with the accelerator on it.

    Attributes:
        accelerator: registers of the accelerator.
        dma: registers of the AXI DMA.

    A backend may have `clock_mhz`, the clock that the logic really runs at in MHz, if it knows.
    """

    accelerator: Registers
    dma: Registers

    def allocate(self, size: int) -> Buffer:
        """Memory of `size` bytes, aligned to a beat."""

    def watts(self) -> dict[str, float]:
        """Power of each rail in W at this moment.

        Raises:
            NoPowerSensor: the board does not measure it.
        """

    def reload(self) -> None:
        """Load the bitstream again: everything in the logic is as at its first moment."""

    def close(self) -> Any:
        """Give everything back."""
