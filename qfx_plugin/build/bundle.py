"""What a bug report needs of a build folder, in one .zip file, without names of people."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import zipfile
from pathlib import Path
from typing import Any

from ..errors import DataError
from .manifest import NAME, Manifest
from .workspace import FIRST_RUN, LOGS, MODEL, OPTIONS, REPORTS

SUFFIXES = (".json", ".log", ".md", ".rpt", ".sh", ".tcl", ".txt", ".xdc", ".xml", ".yaml")
BEATS = "_beats.txt"
LARGEST = 4 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


def bundle(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    doctor: Any = None,
    with_model: bool = False,
) -> list[str]:
    """Pack reports, logs, options, scripts and checks of a build.

    Args:
        folder: of the build.
        out: the .zip file to write.
        doctor: what is installed, as plain values.
        with_model: also the model. Weights and samples are never packed otherwise.

    Returns:
        The names in the file, sorted.

    Raises:
        DataError: the folder is no build folder, or the file cannot be written.
    """
    root = Path(folder).absolute()
    manifest = Manifest.load(root)
    hide = hidden(root)
    texts = {"doctor.json": json.dumps(doctor, indent=2) + "\n"} if doctor is not None else {}
    steps = tuple(manifest.steps)
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if _wanted(name, path, steps):
            texts[name] = path.read_text(encoding="utf-8", errors="replace")
    contents = {name: hide(text).encode() for name, text in texts.items()}
    if with_model:
        contents[MODEL] = (root / MODEL).read_bytes()
    try:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(contents):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), contents[name])
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror}") from error
    return sorted(contents)


def hidden(root: Path) -> Any:
    """A function that takes folders, the user's and the machine's name out of a text."""
    words = {str(root): "BUILD", str(Path.home()): "HOME"}
    names = {_user(): "USER", platform.node(): "HOST"}
    places = re.compile(r"(?<![\w.$}])/(?:home|Users|root|tmp|work|mnt|opt|data)/[^\s\"':;,)\]}]*")

    def hide(text: str) -> str:
        for word in sorted(words, key=len, reverse=True):
            text = text.replace(word, words[word])
        # Of any other folder the last name is enough.
        text = places.sub(lambda found: f"PATH/{found[0].rpartition('/')[2]}", text)
        for name, stand_in in names.items():
            if len(name) > 1 and name != "root":
                text = re.sub(rf"\b{re.escape(name)}\b", stand_in, text)
        return text

    return hide


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""


def _wanted(name: str, path: Path, steps: tuple[str, ...]) -> bool:
    top = name.partition("/")[0]
    if path.is_symlink() or not path.is_file() or path.suffix not in SUFFIXES:
        return False
    if name in (NAME, OPTIONS, FIRST_RUN, *REPORTS):
        return True
    ours = top == LOGS or top in steps
    weights = "weights" in path.parts or name.endswith(BEATS) or path.stat().st_size > LARGEST
    return ours and not weights
