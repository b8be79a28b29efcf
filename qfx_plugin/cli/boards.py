"""`qfx boards`: the boards there are, and what each one holds."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qfx_plugin.boards import Board


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "boards",
        parents=[common],
        help="the boards there are, and what each one holds",
        description="Lists the boards, or shows one. A board is one .toml file: the environment "
        "variable QFX_BOARDS names folders with more of them.",
    )
    parser.add_argument("board", nargs="?", help="name of a board, or path of its file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print one board or all."""
    from qfx_plugin.boards import list_boards, load_board

    boards = list_boards() if options.board is None else (load_board(options.board),)
    if options.json:
        from qfx_plugin.config import as_table

        tables = [as_table(board) for board in boards]
        for entry, board in zip(tables, boards, strict=True):
            entry["clock"]["exact_mhz"] = list(board.clock.exact_mhz)
        data = tables if options.board is None else tables[0]
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
    elif options.board is None:
        _print_list(boards)
    else:
        _print_one(boards[0])
    return 0


def _exact(board: Board) -> str:
    return ", ".join(f"{mhz:g}" for mhz in board.clock.exact_mhz)


def _print_list(boards: tuple[Board, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("board", "part", "LUT", "FF", "DSP", "BRAM36", "clock"):
        table.add_column(column, justify="left" if column in ("board", "part") else "right")
    for board in boards:
        pieces = board.resources
        counts = (pieces.lut, pieces.ff, pieces.dsp, pieces.bram36)
        clock = f"{board.clock.default_mhz:g} MHz"
        table.add_row(board.name, board.part, *(f"{count:,}" for count in counts), clock)
    console = Console()
    console.print(table)
    for board in boards:
        if board.clock.exact_mhz:
            text = f"{board.name} makes exactly {_exact(board)} MHz"
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_one(board: Board) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from qfx_plugin.boards import OpenBoard, ZynqBoard

    pieces, clock = board.resources, board.clock
    table = Table(title=board.title, title_justify="left", show_header=False)
    exact = _exact(board)
    rows = {"name": ", ".join((board.name, *board.aliases)), "part": board.part}
    if isinstance(board, ZynqBoard):
        rows["board part"] = board.board_part
    rows |= {
        "logic": f"{pieces.lut:,} LUT of {pieces.lut_inputs} inputs, {pieces.ff:,} FF, "
        f"{pieces.carry:,} {pieces.carry_cell}",
        "multipliers": f"{pieces.dsp:,} {pieces.dsp_cell}",
        "memory": f"{pieces.bram36:,} blocks of 36 kbit",
        "clock": f"{clock.default_mhz:g} MHz ({clock.minimum_mhz:g} to {clock.maximum_mhz:g})"
        + (f"; exact: {exact}" if exact else ""),
    }
    if isinstance(board, ZynqBoard):
        ports = (f"{p.name} ({'/'.join(map(str, p.widths))} bits)" for p in board.memory_ports)
        rows |= {
            "processor": f"{board.ps.processor}, {board.ps.memory_bytes >> 20:,} MB",
            "control": f"{board.control.name} at 0x{board.control.base_address:08X}",
            "memory ports": ", ".join(ports),
        }
    if isinstance(board, OpenBoard):
        pins = board.pins
        rows["pins"] = f"clock {clock.pin}, serial port in {pins.receive}, out {pins.transmit}"
        rows["loaded by"] = board.loader
    rows["notes"] = board.notes
    for name, text in rows.items():
        table.add_row(name, Text(text))
    Console().print(table)
