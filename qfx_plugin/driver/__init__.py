"""The driver: a network on a PYNQ board, NumPy in and NumPy out. See `docs/board.md`.

It needs NumPy and `brevitas_quantizers.fixed_point` only, and PYNQ on the board; builds copy this
folder next to the bitstream.
"""

from .accelerator import QfxAccelerator
from .backend import Backend, Buffer, Registers
from .description import Description, InputTensor, OutputTensor
from .errors import (
    AcceleratorError,
    AcceleratorTimeoutError,
    DescriptionError,
    NoPowerSensor,
    WrongBitstreamError,
)
from .figures import Figures, Measurement
from .layout import Layout
from .run import Run

__all__ = [
    "AcceleratorError",
    "AcceleratorTimeoutError",
    "Backend",
    "Buffer",
    "Description",
    "DescriptionError",
    "Figures",
    "InputTensor",
    "Layout",
    "Measurement",
    "NoPowerSensor",
    "OutputTensor",
    "QfxAccelerator",
    "Registers",
    "Run",
    "WrongBitstreamError",
]
