"""`qfx doctor`: what is installed, and what each missing tool would enable."""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import asdict, dataclass
from typing import Any

from qfx_plugin.needs import ABILITIES, NEEDS, Need, find_need


@dataclass(frozen=True)
class Finding:
    """What was found of a need.

    Attributes:
        need: its name in `NEEDS`.
        name: of the package or program.
        kind: as in `Need`.
        found: version or path; `None` if missing.
        ok: whether it is there, in a version that QFX knows.
        enables: what works with it.
        remedy: how to get it, or what to do if its version is not supported.
    """

    need: str
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
    """Look for everything in `NEEDS`; of packages, only the versions are read."""
    return [_examine(need) for need in NEEDS.values()]


def _examine(need: Need) -> Finding:
    found, ok = need.found(), need.available()
    remedy = need.remedy
    if found is not None and not ok:
        remedy = f"must be {need.requirement}: {remedy}"
    return Finding(need.name, need.shown, need.kind, found, ok, need.enables, remedy)


def abilities(findings: list[Finding]) -> dict[str, list[str]]:
    """What a person wants to do, and what is missing for it; nothing if it works."""
    lacking = {finding.need: finding.name for finding in findings if not finding.ok}
    return {
        name: [lacking[need] for need in needed if need in lacking]
        for name, needed in ABILITIES.items()
    }


@dataclass(frozen=True)
class Part:
    """A target or executor that can be used.

    Attributes:
        kind: "target" or "executor".
        name: how users call it.
        origin: the distribution that it comes from; empty for QFX's own.
        about: what it does.
        missing: what its steps need and is not there.
    """

    kind: str
    name: str
    origin: str
    about: str
    missing: tuple[str, ...] = ()


def parts() -> tuple[list[Part], list[str]]:
    """Targets and executors, and those of other distributions that cannot be used, with why.

    Nothing where packages are missing without which none works.
    """
    try:
        from qfx_plugin.build.flow import TARGETS
        from qfx_plugin.executors import EXECUTORS
    except ModuleNotFoundError:
        return [], []
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are listed
        for target in TARGETS.values():
            needs = dict.fromkeys(name for step in target.steps for name in step.needs)
            absent = tuple(n.shown for n in map(find_need, needs) if not n.available())
            origin = TARGETS.origin(target.name)
            found.append(Part("target", target.name, origin, target.about, absent))
        for one in EXECUTORS.values():
            found.append(Part("executor", one.name, EXECUTORS.origin(one.name), one.version))
    return found, [*TARGETS.problems(), *EXECUTORS.problems()]


def _print_json(findings: list[Finding]) -> None:
    import json

    from brevitas_quantizers import __version__

    found, problems = parts()
    data = {
        "qfx-plugin": __version__,
        "python": sys.version.split()[0],
        "works": {name: not missing for name, missing in abilities(findings).items()},
        "needs": [asdict(finding) for finding in findings],
        "parts": [asdict(part) for part in found],
        "problems": problems,
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
    found, problems = parts()
    lines += [f"{part.kind} {part.name}: {_about(part)}" for part in found]
    lines += problems
    sys.stdout.write("\n".join(lines) + "\n")


def _what(finding: Finding) -> str:
    return finding.found or "" if finding.ok else f"{finding.enables}: {finding.remedy}"


def _about(part: Part) -> str:
    origin = f" (of {part.origin})" if part.origin else ""
    needs = f"; a step needs {', '.join(part.missing)}" if part.missing else ""
    return f"{part.about}{origin}{needs}"


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
    found, problems = parts()
    there = Table(title="Targets and executors", title_justify="left", show_header=False)
    for part in found:
        there.add_row(Text(part.kind), Text(part.name), Text(_about(part)))
    console = Console()
    for one in (table, works, there):
        console.print(one)
    for problem in problems:
        console.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)
