"""Files written as a whole or not at all, and JSON of strangers; with errors in one line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from .errors import DataError


def write_file(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file in one move, folders made; whatever happens, the old one or the new one stands.

    Args:
        path: the file; a link is followed, and a device or pipe is written into.
        content: text is written as UTF-8.

    Raises:
        DataError: it cannot be written; an earlier file is as it was.
    """
    path = Path(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def parse_json(text: str | bytes) -> Any:
    """What JSON text holds; text of somebody else's may be nested without end.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def partial_name(name: str) -> str:
    """Pattern of the files that a killed writer of `name` may leave beside it."""
    return f".{name}.*.part"


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(partial_name(path.name).replace("*", str(os.getpid())))
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, partial)
        partial.replace(path)
    except FileExistsError:  # a writer of this number was killed, or a user's own
        raise FileExistsError(17, f"{partial.name} is in the way") from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
