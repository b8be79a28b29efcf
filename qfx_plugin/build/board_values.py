"""What the templates of a block design take from a board."""

from __future__ import annotations

from dataclasses import dataclass

from ..boards import Board
from ..errors import OptionError
from ..shell.wrap import DMA_LENGTH_BITS

WINDOW = 1 << 16
"""Addresses that a block's registers have."""


@dataclass(frozen=True)
class AcceleratorCell:
    """What the block design's script has to know of an accelerator.

    Attributes:
        kind: options of create_bd_cell; `@TOP@` is the accelerator's name.
        clock: its pin.
        reset: its pin, active low.
        registers: its AXI-Lite port.
        segment: the addresses behind it.
        stream_in: its stream of inputs.
        stream_out: its stream of results.
        synthesis: lines that follow the design.
    """

    kind: str
    clock: str
    reset: str
    registers: str
    segment: str
    stream_in: str
    stream_out: str
    synthesis: str = ""

    def values(self, top: str, files: str) -> dict[str, object]:
        """What the template's `@NAMES@` stand for.

        Args:
            top: name of the accelerator.
            files: lines that bring its files into the project.
        """
        return {
            "ACCELERATOR": self.kind.replace("@TOP@", top),
            "ACCELERATOR_FILES": files,
            "ACCELERATOR_CLOCK": self.clock,
            "ACCELERATOR_RESET": self.reset,
            "REGISTERS": self.registers,
            "SEGMENT": self.segment,
            "STREAM_IN": self.stream_in,
            "STREAM_OUT": self.stream_out,
            "SYNTHESIS": self.synthesis,
        }


HLS_CELL = AcceleratorCell(
    kind="-type ip -vlnv qfx:hls:@TOP@:1.0",
    clock="ap_clk",
    reset="ap_rst_n",
    registers="s_axi_control",
    segment="Reg",
    stream_in="data_in",
    stream_out="data_out",
)
"""A function that Vitis HLS has exported."""

RTL_CELL = AcceleratorCell(
    kind="-type module -reference @TOP@",
    clock="aclk",
    reset="aresetn",
    registers="s_axi",
    segment="*",
    stream_in="s_axis",
    stream_out="m_axis",
    synthesis="# One synthesis for all, so that memories are found.\n"
    "set_property synth_checkpoint_mode None [get_files system.bd]",
)
"""Our AXI shell in Verilog."""


def check_axis_width(width: int, board: Board) -> None:
    """Streams must not be wider than the board's memory port.

    Raises:
        OptionError: they are.
    """
    port = board.memory_ports[0]
    if width > max(port.widths):
        raise OptionError(
            f"axis_width must be at most {max(port.widths)} on board {board.name} "
            f"({port.name}), not {width}"
        )


def dma_address(board: Board) -> int:
    """First address of the DMA's registers."""
    return board.control.base_address


def accelerator_address(board: Board) -> int:
    """First address of the accelerator's registers."""
    return board.control.base_address + WINDOW


def board_values(board: Board, top: str, *, width: int, clock_mhz: float) -> dict[str, object]:
    """What the `@NAMES@` that every target has stand for.

    Args:
        board: part, ports, clock.
        top: name of the accelerator.
        width: bits of a beat, and of the memory port.
        clock_mhz: clock of the logic.
    """
    port = board.memory_ports[0]
    parameters = dict(board.ps.parameters)
    parameters |= {port.enable: 1} if port.enable else {}
    parameters |= {port.width_parameter: width} if port.width_parameter else {}
    if board.control.width_parameter:
        parameters[board.control.width_parameter] = min(board.control.widths)
    parameters[board.clock.parameter] = f"{clock_mhz:g}"
    return {
        "TOP": top,
        "TITLE": board.title,
        "NOTES": board.notes,
        "PART": board.part,
        "BOARD_PART": board.board_part,
        "CLOCK": f"{clock_mhz:g}",
        "BEAT": width,
        "PS_VLNV": board.ps.vlnv,
        "PS_RULE": board.ps.automation,
        "PS_RULE_CONFIG": " ".join(f"{k} {{{v}}}" for k, v in board.ps.automation_config.items()),
        "PS_PARAMETERS": " \\\n".join(f"    CONFIG.{k} {v}" for k, v in parameters.items()),
        "CLOCK_PIN": board.clock.pin,
        "RESET_PIN": board.clock.reset_pin,
        "MEMORY_PORT": port.name,
        "MEMORY_CLOCK": port.clock_pin,
        "CONTROL_PORT": board.control.name,
        "CONTROL_CLOCK": board.control.clock_pin,
        "DMA_LENGTH_BITS": DMA_LENGTH_BITS,
        "DMA_ADDRESS": f"0x{dma_address(board):08X}",
        "TOP_ADDRESS": f"0x{accelerator_address(board):08X}",
    }
