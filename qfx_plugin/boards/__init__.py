"""Boards as data: adding one is adding one file. See `docs/boards.md`."""

from .board import (
    Board,
    Clock,
    ControlPort,
    DeviceResources,
    OpenBoard,
    Pins,
    Processor,
    ProcessorPort,
    ZynqBoard,
    zynq,
)
from .load import list_boards, load_board

__all__ = [
    "Board",
    "Clock",
    "ControlPort",
    "DeviceResources",
    "OpenBoard",
    "Pins",
    "Processor",
    "ProcessorPort",
    "ZynqBoard",
    "list_boards",
    "load_board",
    "zynq",
]
