"""What the templates of a block design take from a board."""

from __future__ import annotations

from dataclasses import dataclass

from ..boards import Board, ProcessorPort, ZynqBoard, zynq
from ..driver.overlay import user_id
from ..errors import OptionError
from ..shell.wrap import DMA_LENGTH_BITS
from .steps import StepContext

CLOCK_TOLERANCE = 0.01
"""A clock that is further from what was asked for, as a part of it, is told."""

NO_NOTES = (
    "Board definition files: the board's maker has them; in Vivado's data/boards/board_files, or "
    "in a folder that the environment variable QFX_BOARD_FILES names."
)
"""Of a board whose file has none."""

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
    port = zynq(board).memory_ports[0]
    if width > max(port.widths):
        raise OptionError(
            f"axis_width must be at most {max(port.widths)} on board {board.name} "
            f"({port.name}), not {width}"
        )


def dma_address(board: Board) -> int:
    """First address of the DMA's registers."""
    return zynq(board).control.base_address


def accelerator_address(board: Board) -> int:
    """First address of the accelerator's registers."""
    return zynq(board).control.base_address + WINDOW


def board_values(
    board: Board, top: str, *, width: int, clock_mhz: float, network_id: str
) -> dict[str, object]:
    """What the `@NAMES@` that every target has stand for.

    Args:
        board: part, ports, clock.
        top: name of the accelerator.
        width: bits of a beat, and of the memory port.
        clock_mhz: clock of the logic.
        network_id: of the network; the bitstream's head gets its first digits.
    """
    board = zynq(board)
    port = board.memory_ports[0]
    return {
        "TOP": top,
        "TITLE": board.title,
        "NOTES": (board.notes or NO_NOTES).translate({ord("{"): "(", ord("}"): ")"}),
        "PART": board.part,
        "BOARD_PART": board.board_part,
        "CLOCK": f"{clock_mhz:g}",
        "BEAT": width,
        "USER_ID": user_id(network_id),
        "PS_VLNV": board.ps.vlnv,
        "PS_RULE": board.ps.automation,
        "PS_RULE_CONFIG": " ".join(f"{k} {{{v}}}" for k, v in board.ps.automation_config.items()),
        "PS_PARAMETERS": _parameters(board, width, clock_mhz),
        "CLOCK_ACTUAL": _actual(board),
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


def port_width(port: ProcessorPort, board: Board, width: int) -> int:
    """Bits of a memory port for streams of `width` bits.

    A Zynq-7000 keeps the width that it booted with, whatever a bitstream says: the widest, 64 bits.
    """
    if board.family == "zynq-7000":
        return max(port.widths)
    return min(one for one in port.widths if one >= width)


def clock_notes(board: Board, asked_mhz: float) -> list[str]:
    """What to tell where the board's dividers do not reach a clock, within 1 %; else nothing."""
    reached = board.clock.reachable(asked_mhz)
    if abs(reached - asked_mhz) <= CLOCK_TOLERANCE * asked_mhz:
        return []
    exact = ", ".join(f"{mhz:g}" for mhz in board.clock.exact_mhz)
    return [
        f"clock: board {board.name} gives {reached:g} MHz for {asked_mhz:g} MHz asked, and rates "
        f"and latencies are for that; exact are {exact} MHz"
    ]


def told_clock(context: StepContext) -> list[str]:
    """`clock_notes` of a build, which its log has too."""
    notes = clock_notes(context.board, context.options.clock_mhz)
    for line in notes:
        context.log.warning("%s", line)
    return notes


def _parameters(board: ZynqBoard, width: int, clock_mhz: float) -> str:
    port = board.memory_ports[0]
    parameters = dict(board.ps.parameters)
    parameters |= {port.enable: 1} if port.enable else {}
    if port.width_parameter:
        parameters[port.width_parameter] = port_width(port, board, width)
    if board.control.width_parameter:
        parameters[board.control.width_parameter] = min(board.control.widths)
    parameters[board.clock.parameter] = f"{board.clock.reachable(clock_mhz):.9g}"
    return " \\\n".join(f"    CONFIG.{k} {_word(v)}" for k, v in parameters.items())


def _word(value: object) -> str:
    """As one word of Tcl."""
    return f"{{{value}}}" if " " in str(value) else str(value)


def _actual(board: Board) -> str:
    """Tcl for the clock that is reached, in MHz."""
    if board.clock.actual:
        return f"[get_property CONFIG.{board.clock.actual} [get_bd_cells ps]]"
    return f"[get_property CONFIG.FREQ_HZ [get_bd_pins ps/{board.clock.pin}]]e-6"
