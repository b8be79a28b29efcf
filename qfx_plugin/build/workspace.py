"""The build folder on disk: one folder per step, each there as a whole or not at all.

    out/model.onnx      the model
    out/options.yaml    all options; the next run's input
    out/manifest.json   what is done, and the digests of all files
    out/<step>/         what the step wrote
    out/logs/<step>.log

A step writes into `out/.partial`, which becomes `out/<step>` in one rename. One process at a time
works in a folder: the lock goes with the process, also when it is killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError, TargetError

MODEL = "model.onnx"
OPTIONS = "options.yaml"
LOGS = "logs"
_PARTIAL, _OLD, _SCRATCH, _LOCK = ".partial", ".old", ".scratch", ".lock"


class Workspace:
    """A build folder.

    Attributes:
        root: the folder, absolute; a relative path given would change its meaning with the process'
            working folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()

    def step(self, name: str) -> Path:
        """Folder of a step that is done."""
        return self.root / name

    def log(self, name: str) -> Path:
        """Log file of a step."""
        return self.root / LOGS / f"{name}.log"

    @property
    def model(self) -> Path:
        """The model that is built."""
        return self.root / MODEL

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Work in the folder alone.

        Raises:
            TargetError: another process works in it.
            DataError: the folder cannot be made.
        """
        try:
            (self.root / LOGS).mkdir(parents=True, exist_ok=True)
            lock = (self.root / _LOCK).open("w")
        except OSError as error:
            raise DataError(f"{self.root}: cannot be a build folder: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TargetError(f"{self.root}: another build is running in this folder") from None
            self.clean()
            yield

    def clean(self) -> None:
        """Remove what a killed build may have left."""
        for name in (_PARTIAL, _OLD, _SCRATCH):
            shutil.rmtree(self.root / name, ignore_errors=True)

    @contextmanager
    def fresh(self) -> Iterator[tuple[Path, Path]]:
        """An empty folder to write into, and one for throw-away files; both go afterwards."""
        self.clean()
        partial, scratch = self.root / _PARTIAL, self.root / _SCRATCH
        partial.mkdir()
        scratch.mkdir()
        try:
            yield partial, scratch
        finally:
            self.clean()

    def keep(self, partial: Path, name: str) -> None:
        """Make `partial` the folder of step `name`, in place of an older one."""
        final, old = self.step(name), self.root / _OLD
        if final.exists():
            final.replace(old)
        partial.replace(final)
        shutil.rmtree(old, ignore_errors=True)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file in `folder` by its path; whether it may be executed counts too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            mode = b"x" if os.access(path, os.X_OK) else b"-"
            content = hashlib.sha256(mode + path.read_bytes()).hexdigest()
            found[path.relative_to(folder).as_posix()] = content
    return found


def file_digest(path: Path) -> str:
    """sha256 of one file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
