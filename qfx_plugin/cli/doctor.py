"""`qfx doctor`: what is installed, and what each missing tool would enable."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from dataclasses import asdict, dataclass
from typing import Any

from qfx_plugin.cli.needs import ABILITIES, NEEDS, Need


@dataclass(frozen=True)
class Finding:
    """What was found of a need.

    Attributes:
        name: of the package or program.
        kind: as in `Need`.
        found: version or path; `None` if missing.
        ok: whether it is there, in a version that QFX knows.
        enables: what works with it.
        remedy: how to get it, or what to do if its version is not supported.
    """

    name: str
    kind: str
    found: str | None
    ok: bool
    enables: str
    remedy: str


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "doctor",
        parents=[common],
        help="what is installed, and what each missing tool would enable",
        description="Lists packages and tools with their versions, and what works with them. Exit "
        "status 1 if a package that nothing works without is missing or of a version that is not "
        "supported.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings."""
    findings = examine()
    if options.json:
        _print_json(findings)
    else:
        _print_tables(findings)
    return 0 if all(finding.ok for finding in findings if finding.kind == "core") else 1


def examine() -> list[Finding]:
    """Look for everything in `NEEDS`; nothing is imported, programs are not run."""
    return [_examine(need) for need in NEEDS]


def _examine(need: Need) -> Finding:
    if need.kind == "tool":
        path = _find_program(need.name)
        return Finding(need.name, need.kind, path, path is not None, need.enables, need.remedy)
    name, version, supported = _find_package(need.name)
    remedy = need.remedy if version is None or supported else f"must be {need.name}: {need.remedy}"
    return Finding(name, need.kind, version, supported, need.enables, remedy)


def abilities(findings: list[Finding]) -> dict[str, list[str]]:
    """What a person wants to do, and what is missing for it; nothing if it works."""
    ok = {finding.name for finding in findings if finding.ok}
    return {name: [need for need in needed if need not in ok] for name, needed in ABILITIES.items()}


def _find_package(requirement: str) -> tuple[str, str | None, bool]:
    """Name, installed version, and whether the version is in the supported range."""
    from importlib.metadata import PackageNotFoundError, version

    name = re.split(r"[<>=!~]", requirement)[0]
    try:
        found = version(name)
    except PackageNotFoundError:
        return name, None, False
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:  # nothing to compare versions with
        return name, found, True
    return name, found, Requirement(requirement).specifier.contains(found, prereleases=True)


def _find_program(name: str) -> str | None:
    try:
        from qfx_plugin.tools import compiler, tcl, vitis, vivado
    except ModuleNotFoundError:  # not even NumPy
        return next((path for one in _PROGRAMS[name] if (path := shutil.which(one))), None)
    if name == "Tcl":
        command = tcl.find()
        return None if command is None else command[0] if len(command) == 1 else "tkinter"
    finders = {"C++ compiler": compiler.find, "Vitis HLS": vitis.find, "Vivado": vivado.find}
    return finders[name]()


_PROGRAMS = {
    "C++ compiler": ("g++", "clang++", "c++"),
    "Tcl": ("tclsh",),
    "Vitis HLS": ("vitis_hls", "vitis-run"),
    "Vivado": ("vivado",),
}


def _print_json(findings: list[Finding]) -> None:
    import json

    from brevitas_quantizers import __version__

    data = {
        "qfx-plugin": __version__,
        "python": sys.version.split()[0],
        "works": {name: not missing for name, missing in abilities(findings).items()},
        "needs": [asdict(finding) for finding in findings],
    }
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def _title() -> str:
    from brevitas_quantizers import __version__

    return f"qfx-plugin {__version__}, Python {sys.version.split()[0]}"


def _print_plain(findings: list[Finding]) -> None:
    """Without the package that draws tables."""
    lines = [_title()]
    lines += [f"{'ok     ' if f.ok else 'MISSING'}  {f.name:16} {_what(f)}" for f in findings]
    lines += [f"{_ability(name, missing)}" for name, missing in abilities(findings).items()]
    sys.stdout.write("\n".join(lines) + "\n")


def _what(finding: Finding) -> str:
    return finding.found or "" if finding.ok else f"{finding.enables}: {finding.remedy}"


def _ability(name: str, missing: list[str]) -> str:
    return f"works: {name}" if not missing else f"does not work: {name} ({', '.join(missing)})"


def _print_tables(findings: list[Finding]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ModuleNotFoundError:
        _print_plain(findings)
        return
    table = Table(title=_title(), title_justify="left")
    for column in ("", "name", "found", "enables"):
        table.add_column(column)
    for before, finding in zip([None, *findings], findings, strict=False):
        if before is not None and before.kind != finding.kind:
            table.add_section()
        missing = "red" if finding.kind == "core" else "yellow"
        table.add_row(
            Text("✓", style="green") if finding.ok else Text("✗", style=missing),
            Text(finding.name),
            Text(finding.found or "missing"),
            Text(finding.enables if finding.ok else f"{finding.enables}\n  → {finding.remedy}"),
        )
    works = Table(title="What works", title_justify="left", show_header=False)
    for name, lacking in abilities(findings).items():
        mark = Text("✗", style="yellow") if lacking else Text("✓", style="green")
        works.add_row(mark, Text(name), Text(f"needs {', '.join(lacking)}" if lacking else ""))
    console = Console()
    console.print(table)
    console.print(works)
