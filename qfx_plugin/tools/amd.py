"""What AMD's command-line tools have in common: finding them, their version, running a script."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import TargetError, ToolMissingError
from . import process

_VERSION = re.compile(r"\bv(20\d\d)\.(\d)")
_VERSION_SECONDS = 120


@dataclass(frozen=True)
class Program:
    """One of a tool's programs.

    Attributes:
        name: of the program.
        variable: environment variable that names the installation folder.
        arguments: command line for a Tcl script, given the script's path.
    """

    name: str
    variable: str
    arguments: Callable[[str], list[str]]

    def find(self) -> str | None:
        """Its path: from the search path, else from the installation folder."""
        folder = os.environ.get(self.variable)
        inside = str(Path(folder) / "bin") if folder else None
        return shutil.which(self.name) or (shutil.which(self.name, path=inside) if inside else None)


@dataclass(frozen=True)
class AmdTool:
    """A tool of AMD's.

    Attributes:
        name: for people.
        programs: the first that is found is used.
        oldest: least version that our scripts are written for, (year, number).
        flaw: what is wrong with an installation, given the program's path and its version; empty
            if nothing is.
    """

    name: str
    programs: tuple[Program, ...]
    oldest: tuple[int, int]
    flaw: Callable[[str, tuple[int, int]], str] = lambda path, version: ""

    def find(self) -> str | None:
        """Path of the program that is used."""
        return next((path for one in self.programs if (path := one.find())), None)

    def version(self) -> str:
        """Such as `2023.2`.

        Raises:
            ToolMissingError: it is not installed, too old, or does not tell its version.
        """
        path = self._path()
        try:
            result = subprocess.run(
                [path, "-version"], capture_output=True, text=True, errors="replace",
                timeout=_VERSION_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolMissingError(f"{path} -version cannot be run: {error}") from error
        match = _VERSION.search(result.stdout + result.stderr)
        if match is None:
            raise ToolMissingError(f"{path} -version does not tell a version of {self.name}")
        found = int(match[1]), int(match[2])
        if found < self.oldest:
            oldest = ".".join(map(str, self.oldest))
            raise ToolMissingError(
                f"{self.name} must be {oldest} or newer, not {found[0]}.{found[1]} ({path})"
            )
        flaw = self.flaw(path, found)
        if flaw:
            raise ToolMissingError(f"{self.name} {found[0]}.{found[1]} ({path}) {flaw}")
        return f"{found[0]}.{found[1]}"

    def run(
        self,
        script: Path,
        *,
        folder: Path,
        log: Path,
        seconds: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run a Tcl script in batch mode, in `folder`, all output into `log`.

        Args:
            script: for the tool.
            folder: working folder; the tool's project goes there.
            log: file for all output.
            seconds: after which the tool is ended.
            environment: variables beside those of this process.

        Raises:
            ToolMissingError: it is not installed.
            TargetError: the script fails or takes too long; the text holds the first error.
        """
        path = self._path()
        program = next(one for one in self.programs if one.find() == path)
        with log.open("w", encoding="utf-8") as output:
            try:
                command = [path, *program.arguments(str(script))]
                status = _run(command, folder, output, seconds, environment or {})
            except subprocess.TimeoutExpired:
                raise TargetError(
                    f"{self.name} took more than {seconds:g} s for {script.name}: see {log}"
                ) from None
        if status != 0:
            text = log.read_text(encoding="utf-8", errors="replace")
            told = ("ERROR", "QFX:")  # the tool's errors, and those of our scripts
            error = next((line for line in text.splitlines() if line.startswith(told)), None)
            reason = error or f"exit status {status}"
            raise TargetError(f"{self.name} fails on {script.name}: {reason}; see {log}")

    def _path(self) -> str:
        path = self.find()
        if path is None:
            names = " or ".join(one.name for one in self.programs)
            variables = " or ".join(dict.fromkeys(one.variable for one in self.programs))
            raise ToolMissingError(
                f"{self.name} was not found: looked for {names} on the search path and in the "
                f"folder that {variables} names; install AMD {self.name} "
                f"{'.'.join(map(str, self.oldest))} or newer"
            )
        return path

    def require(self) -> str:
        """Path of the program.

        Raises:
            ToolMissingError: it is not installed, or too old.
        """
        self.version()
        return self._path()


def _run(
    command: Sequence[str],
    folder: Path,
    output: IO[Any] | int | None,
    seconds: float | None,
    environment: Mapping[str, str],
) -> int:
    """Run a program with all its children; end them all if it takes too long or is interrupted."""
    with process.group(
        command, cwd=folder, stdout=output, stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
    ) as running:  # fmt: skip
        return running.wait(seconds)
