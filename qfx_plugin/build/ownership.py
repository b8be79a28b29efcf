"""Whose a file in a build folder is: the build's if its digest is known, else a user's.

A user's file is never removed. Where a build has to write a file of that name, it is set aside.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path


def digests(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """sha256 of files in `folder` by path; whether they may be executed counts too.

    Args:
        folder: where they are.
        names: paths of the files, those that are missing are left out; by default all.
    """
    if names is None:
        found = sorted(path for path in folder.rglob("*") if path.is_file())
    else:
        found = [path for path in (folder / name for name in names) if path.is_file()]
    return {path.relative_to(folder).as_posix(): _digest(path) for path in found}


def file_digest(path: Path) -> str:
    """sha256 of one file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def has_others(folder: Path, owned: Mapping[str, str]) -> bool:
    """Whether anything but the files of `owned` is in `folder`."""
    return any(
        path.relative_to(folder).as_posix() not in owned
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


def copy_owned(folder: Path, owned: Mapping[str, str], target: Path) -> Path:
    """Copy the files of `owned` from `folder` to `target`, and nothing else."""
    for name in owned:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, target / name)
    return target


def rescue(old: Path, new: Path, aside: Path, owned: Mapping[str, str]) -> list[str]:
    """Move what is not the build's from an old folder of a step to the new one.

    Args:
        old: folder that goes.
        new: folder that took its place.
        aside: where that goes whose place in `new` is taken by something else.
        owned: digests of the build's files in `old`.

    Returns:
        What was set aside, as paths beside the step's folder.
    """
    folders = {parent.as_posix() for name in owned for parent in Path(name).parents}
    kept: list[str] = []

    def visit(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            name = path.relative_to(old).as_posix()
            place = new / name
            if path.is_dir() and not path.is_symlink() and (name in folders or place.is_dir()):
                visit(path)
            elif _is_plain(path) and (owned.get(name) == _digest(path) or _same(path, place)):
                continue
            elif os.path.lexists(place) or any(map(_is_plain, place.parents)):
                moved = set_aside(path, aside / name)
                kept.append(moved.relative_to(new.parent).as_posix())
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                path.rename(place)

    visit(old)
    return kept


def set_aside(path: Path, place: Path) -> Path:
    """Move a file or folder to `place`, or beside it if that is taken; returns where it is."""
    place.parent.mkdir(parents=True, exist_ok=True)
    taken = os.path.lexists
    numbered = (place.with_name(f"{place.name}.{number}") for number in count(1))
    free = place if not taken(place) else next(one for one in numbered if not taken(one))
    path.rename(free)
    return free


def _digest(path: Path) -> str:
    mode = b"x" if os.access(path, os.X_OK) else b"-"
    return hashlib.sha256(mode + path.read_bytes()).hexdigest()


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _same(path: Path, other: Path) -> bool:
    return _is_plain(other) and file_digest(path) == file_digest(other)
