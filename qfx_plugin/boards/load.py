"""Find and read board files. A board is one `.toml` file, here or in a folder of the user's."""

from __future__ import annotations

import os
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from ..config import load, read
from ..errors import OptionError
from .board import OPEN, Board, OpenBoard, ZynqBoard

OWN_FOLDER = Path(__file__).parent
FIRST = ("ultra96_v2", "pynq_z2")
FOLDERS_VARIABLE = "QFX_BOARDS"


def list_boards() -> tuple[Board, ...]:
    """All boards: those of this package, then those in the folders that `QFX_BOARDS` names.

    Raises:
        OptionError, DataError: a board file breaks a rule, or two have the same name.
    """
    boards: dict[str, tuple[Board, Path]] = {}
    for path in _files():
        board = _read(path)
        if board.name in boards:
            raise OptionError(
                f"{path}: name must differ from other boards', not {board.name!r}, which "
                f"{boards[board.name][1]} has"
            )
        boards[board.name] = (board, path)
    return tuple(board for board, _ in boards.values())


def load_board(name: str | os.PathLike[str]) -> Board:
    """A board by its name, an alias, or the path of a `.toml` file.

    Raises:
        OptionError: no such board (the message lists those there are), or a file with a value that
            breaks a rule.
        DataError: a file that cannot be read.
    """
    text = os.fspath(name)
    if text.endswith(".toml"):
        return _read(Path(text))
    boards = list_boards()
    for named in (lambda board: [board.name], lambda board: map(str.lower, board.aliases)):
        for board in boards:  # a name comes before any alias
            if text.lower() in named(board):
                return board
    known = [board.name for board in boards]
    close = get_close_matches(text.lower(), known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise OptionError(
        f"board must be one of {', '.join(known)}, or the path of a .toml file, not {text!r}{hint}"
    )


def _files() -> list[Path]:
    named = os.environ.get(FOLDERS_VARIABLE, "")
    folders = [OWN_FOLDER, *(Path(entry) for entry in named.split(os.pathsep) if entry)]
    for folder in folders:
        if not folder.is_dir():
            raise OptionError(f"{FOLDERS_VARIABLE} must name folders, not {str(folder)!r}")
    return [path for folder in folders for path in sorted(folder.glob("*.toml"), key=_order)]


def _order(path: Path) -> tuple[int, str]:
    """The boards of the examples come first."""
    place = FIRST.index(path.stem) if path.stem in FIRST else len(FIRST)
    return place, path.stem


def _read(path: Path) -> Board:
    return _read_once(path) if path.parent == OWN_FOLDER else _parsed(path)


@cache
def _read_once(path: Path) -> Board:
    return _parsed(path)


def _parsed(path: Path) -> Board:
    table = load(path)
    kind = OpenBoard if table.get("family") in OPEN else ZynqBoard
    board: Board = read(kind, table, path.name)
    board.check(path.name)
    return board
