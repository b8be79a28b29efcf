"""The build folder on disk: one folder per step, each there as a whole or not at all.

    out/model.onnx      the model
    out/options.yaml    all options; the next run's input
    out/manifest.json   what is done, and the digests of all files
    out/<step>/         what the step wrote
    out/logs/<step>.log, out/logs/written.json (digests of the files above)
    out/first_run.json  what a machine with the vendor's tools, and a board, have told
    out/kept/           what stood where a build writes and was not its own

A step writes into `out/.partial`, which becomes `out/<step>` in one rename. One process at a time
works in a folder: the lock goes with the process, also when it is killed. Only what the manifest
knows by its digest is ever removed; see `ownership.py`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError, TargetError
from ..files import parse_json, partial_name, write_file
from .manifest import NAME, Manifest
from .ownership import copy_owned, digests, file_digest, has_others, rescue, set_aside

MODEL = "model.onnx"
OPTIONS = "options.yaml"
FIRST_RUN = "first_run.json"
REPORTS = ("report.json", "report.html")
_OWN = (MODEL, OPTIONS, FIRST_RUN, *REPORTS)
LOGS = "logs"
_WRITTEN = "logs/written.json"
KEPT = "kept"
_PARTIAL, _OLD, _SCRATCH, _INPUTS = _WORK = (".partial", ".old", ".scratch", ".inputs")
_LOCK = ".lock"
_MARK = b"build folder of qfx\n"
_LOG_LINE = re.compile(rb"\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ ")

__all__ = ["FIRST_RUN", "MODEL", "OPTIONS", "REPORTS", "Workspace", "digests", "file_digest"]


class Workspace:
    """A build folder.

    Attributes:
        root: the folder, absolute; a relative path given would change its meaning with the process'
            working folder.
        kept: what was set aside so far, as paths within the folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()
        self.kept: list[str] = []

    def step(self, name: str) -> Path:
        """Folder of a step that is done."""
        return self.root / name

    @property
    def model(self) -> Path:
        """The model that is built."""
        return self.root / MODEL

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Work in the folder alone.

        Raises:
            TargetError: another process works in it.
            DataError: the folder cannot be made, or is a user's own.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._check_ours()
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            lock = os.fdopen(os.open(self.root / _LOCK, flags, 0o666), "r+b")
        except OSError as error:
            raise DataError(f"{self.root}: cannot be a build folder: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TargetError(f"{self.root}: another build is running in this folder") from None
            if not lock.read(1):
                lock.write(_MARK)
                lock.flush()
            for name in (NAME, *_OWN):  # of a killed build
                for path in self.root.glob(partial_name(name)):
                    path.unlink()
            self._make(LOGS)
            yield

    def recover(self, step: str, owned: Mapping[str, str]) -> None:
        """Remove what a build left that was killed in `step`, whose earlier files were `owned`."""
        if (self.root / _OLD).is_dir():
            self._rescue(step, owned)
        self._clean()

    def claim(self, given: set[str]) -> None:
        """Set aside what stands in the place of our own files and is not what we wrote.

        Until `sign`, and in folders of earlier versions, whatever has such a name is ours.

        Args:
            given: names of files that this build reads, and so leaves as they are.
        """
        try:
            written = parse_json((self.root / _WRITTEN).read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError):
            written = None
        (self.root / _WRITTEN).unlink()
        for name in _OWN:
            path = self.root / name
            if name in given or not os.path.lexists(path):
                continue
            if not path.is_file() or not _says(written, name, path):
                self._aside(path, name)

    def sign(self) -> None:
        """Remember what we wrote beside the steps' folders."""
        paths = {name: self.root / name for name in _OWN}
        found = {name: file_digest(path) for name, path in paths.items() if path.is_file()}
        self.put(_WRITTEN, json.dumps(found, indent=2) + "\n")

    def put(self, name: str, content: str | bytes) -> None:
        """Write a file of our own in one move."""
        write_file(self.root / name, content)

    @contextmanager
    def fresh(self) -> Iterator[tuple[Path, Path]]:
        """An empty folder to write into, and one for throw-away files; both go afterwards.

        Raises:
            DataError: something that no build has made is in the way.
        """
        for name in _WORK:
            if os.path.lexists(self.root / name):
                raise DataError(
                    f"{self.root / name}: is in the way and not of a build: move it elsewhere"
                )
        try:
            for name in (_PARTIAL, _SCRATCH):
                (self.root / name).mkdir()
            yield self.root / _PARTIAL, self.root / _SCRATCH
        finally:
            self._clean()

    def keep(self, partial: Path, name: str, owned: Mapping[str, str]) -> None:
        """Make `partial` the folder of step `name`, in place of an older one.

        Args:
            partial: what the step wrote.
            name: of the step.
            owned: digests of the older one's files; all others stay where they are, or go to
                `kept/` if the step has written a file of that name.
        """
        final = self.step(name)
        if os.path.lexists(final) and (final.is_symlink() or not final.is_dir()):
            self._aside(final, name)
        if final.exists():
            final.replace(self.root / _OLD)
        partial.replace(final)
        if (self.root / _OLD).exists():
            self._rescue(name, owned)
            shutil.rmtree(self.root / _OLD, ignore_errors=True)

    def input(self, name: str, owned: Mapping[str, str]) -> Path:
        """Folder of a step for those that read it: its own files, and no other."""
        folder = self.step(name)
        if not has_others(folder, owned):
            return folder
        return copy_owned(folder, owned, self.root / _INPUTS / name)

    def open_log(self, name: str) -> Path:
        """A place for the log of a step; an earlier log goes, anything else is set aside."""
        place = f"{LOGS}/{name}.log"
        path = self.root / place
        self._make(LOGS)
        if os.path.lexists(path) and not _is_log(path):
            self._aside(path, place)
        return path

    def _make(self, name: str) -> None:
        """A folder of ours."""
        path = self.root / name
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise DataError(f"{path}: must be a folder of the build: move it elsewhere")
        path.mkdir(exist_ok=True)

    def _check_ours(self) -> None:
        """Refuse a folder in which somebody else has files."""
        others = sorted(path.name for path in self.root.iterdir() if path.name != _LOCK)
        if others and not self._is_ours():
            raise DataError(
                f"{self.root}: is not empty and no build folder (it holds {others[0]}): name a new "
                "or an empty folder, nothing was touched"
            )

    def _is_ours(self) -> bool:
        lock = self.root / _LOCK
        if not lock.is_symlink() and lock.is_file() and lock.read_bytes() == _MARK:
            return True
        try:
            Manifest.load(self.root)
        except DataError:
            return False
        return not (self.root / NAME).is_symlink()

    def _rescue(self, step: str, owned: Mapping[str, str]) -> None:
        self.kept += rescue(self.root / _OLD, self.step(step), self.root / KEPT / step, owned)

    def _aside(self, path: Path, name: str) -> None:
        self.kept.append(set_aside(path, self.root / KEPT / name).relative_to(self.root).as_posix())

    def _clean(self) -> None:
        for name in _WORK:
            shutil.rmtree(self.root / name, ignore_errors=True)


def _says(written: Any, name: str, path: Path) -> bool:
    return isinstance(written, dict) and written.get(name) == file_digest(path)


def _is_log(path: Path) -> bool:
    """Whether a build has written it."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(40)
    return not start or _LOG_LINE.match(start) is not None
