"""The C++ side of a compiled model: Verilator's classes, what a harness reaches them by, flags.

A library holds one module, or many that are compiled together: what a small module costs is mostly
what all modules share. The harness that drives them is compiled once, with Verilator's run-time
library, and linked to each.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import TargetError
from ..tools import compiler, precompiled, verilator

TEMPLATES = Path(__file__).parent / "templates"
HARNESS = TEMPLATES / "harness.cpp"
HEADER = TEMPLATES / "qfx_verilated.h"
PREFIX = "Vqfx"
FLAGS = ("-O1", "-std=c++17", "-fvisibility=hidden", "-pthread")
QUICK_FLAGS = ("-O0", *FLAGS[1:])
"""For models that run for a moment only."""

_PORT = re.compile(r"VL_(IN|OUT|INOUT)(8|16|64|W)?\(&(\w+),(\d+),(\d+)(?:,\d+)?\)")
_BYTES = {"8": 1, "16": 2, None: 4, "64": 8}


@dataclass(frozen=True)
class VerilogPort:
    """A port of a module.

    Attributes:
        name: as in the Verilog source.
        index: position in the harness's table.
        width: bits.
        is_input: its direction.
    """

    name: str
    index: int
    width: int
    is_input: bool

    @property
    def words(self) -> int:
        """32-bit words that hold the port."""
        return -(-self.width // 32)


def prefix(number: int) -> str:
    """Name of the class of module `number` of a library."""
    return PREFIX if number == 0 else f"{PREFIX}{number}"


def compile_classes(
    classes: Path,
    library: Path,
    modules: int,
    *,
    trace: bool,
    harness: Path,
    flags: Sequence[str],
    cache: Path,
) -> list[list[VerilogPort]]:
    """Compile the classes that Verilator wrote into a shared library; one list of ports per module.

    All is one translation unit: one pass over Verilator's headers, which are compiled once for all
    libraries.

    Args:
        classes: folder of the classes, named by `prefix`.
        library: to write.
        modules: how many.
        trace: whether waveforms are wanted.
        harness: the library's own, if it is not `HARNESS`; it reaches module 0 through `ports.inc`.
        flags: options of the compiler.
        cache: folder for the object files that all libraries share.
    """
    own = harness != HARNESS
    ports, lines = [], [f'#include "{HEADER.name}"\n']
    lines += [_HEADER.format(prefix(number)) for number in range(modules)]
    names = sorted(path.name for path in classes.glob("*.cpp"))
    lines += [f'#include "{name}"\n' for name in names]
    for number in range(modules):
        found, members = _ports((classes / f"{prefix(number)}.h").read_text())
        ports.append(found)
        if own:
            (classes / "ports.inc").write_text(_table(members))
        else:
            lines.append(_glue(number, members))
    objects = _runtime(cache, trace, () if own else (harness,))
    if own:
        shutil.copy(harness, classes / "harness.cpp")
        lines.append('#include "harness.cpp"\n')
    else:
        lines.append(_maker(modules))
    (classes / "all.cc").write_text("".join(lines))
    defines = _defines(trace)
    ready = precompiled.folders(
        HEADER, "verilated", [verilator.version().encode(), HEADER.read_bytes()],
        include_dirs=_includes(), defines=defines, flags=flags,
    )  # fmt: skip
    precompiled.compile_shared(
        [classes / "all.cc", *objects], library, ready,
        include_dirs=_includes(classes), defines=defines, flags=flags,
    )  # fmt: skip
    return ports


_HEADER = """\
#undef VL_PCH_INCLUDED
#include "{}__pch.h"
"""
"""Verilator allows one such header in a translation unit; they do not disturb each other."""


def _runtime(cache: Path, trace: bool, harnesses: Sequence[Path]) -> list[Path]:
    """Object files of Verilator's run-time library and of harnesses, compiled once for all."""
    include = verilator.require().include
    names = ["verilated", "verilated_threads", *(["verilated_vcd_c"] if trace else [])]
    facts = f"{verilator.version()} {compiler.version()} {FLAGS} {trace}"
    folder = cache / f"runtime-{_digest(facts)}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {include / f"{name}.cpp": f"{name}.o" for name in names}
    header = (TEMPLATES / "model.h").read_text()
    for path in harnesses:
        wanted[path] = f"{path.stem}-{_digest(path.read_text() + header)}.o"
    objects = []
    for source, name in wanted.items():
        target = folder / name
        if not target.exists():
            compiler.compile_object(
                source,
                target,
                include_dirs=_includes(),
                defines=_defines(trace),
                flags=("-O2", *FLAGS[1:]),
            )
        objects.append(target)
    return objects


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _ports(header: str) -> tuple[list[VerilogPort], list[tuple[str, int]]]:
    """Ports of a top class; and member and size in bytes of each."""
    ports: list[VerilogPort] = []
    members = []
    for direction, kind, member, msb, lsb in _PORT.findall(header):
        width = int(msb) - int(lsb) + 1
        name = re.sub(r"___0([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), member)
        ports.append(VerilogPort(name, len(ports), width, direction == "IN"))
        members.append((member, 4 * -(-width // 32) if kind == "W" else _BYTES[kind or None]))
    if not ports:
        raise TargetError("the module has no port that can be driven")
    return ports, members


def _table(members: Sequence[tuple[str, int]]) -> str:
    """C++ that reaches the ports of the only module by index."""
    cases = "".join(
        f"        case {index}: return &top.{member};\n"
        for index, (member, _) in enumerate(members)
    )
    sizes = ", ".join(str(size) for _, size in members)
    return (
        f"static void* port_data({PREFIX}& top, int port) {{\n    switch (port) {{\n{cases}"
        "        default: return nullptr;\n    }\n}\n"
        f"constexpr int kPortBytes[] = {{{sizes}}};\n"
    )


def _glue(number: int, members: Sequence[tuple[str, int]]) -> str:
    """A module as `model.h` wants it."""
    return _GLUE.format(
        number=number,
        top=prefix(number),
        count=len(members),
        data=", ".join(f"&top.{member}" for member, _ in members),
        sizes=", ".join(str(size) for _, size in members),
    )


def _maker(modules: int) -> str:
    cases = "".join(
        f"        case {number}: return new Qfx{number}(context);\n" for number in range(modules)
    )
    return (
        "qfx::Module* qfx::make_module(int number, VerilatedContext* context) {\n"
        f"    switch (number) {{\n{cases}        default: return nullptr;\n    }}\n}}\n"
    )


_GLUE = """\
#include "{top}.h"
#include "model.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif
namespace {{
struct Qfx{number} final : qfx::Module {{
    {top} top;
    void* const data[{count}] = {{{data}}};
    static constexpr int sizes[{count}] = {{{sizes}}};
    explicit Qfx{number}(VerilatedContext* context) : top(context) {{
        ports = data;
        bytes = sizes;
    }}
    void eval() override {{ top.eval(); }}
    void final() override {{ top.final(); }}
    void trace(VerilatedVcdC* file) override {{
#if VM_TRACE
        top.trace(file, 99);
#endif
    }}
}};
}}  // namespace
"""


def _includes(*own: Path) -> list[Path]:
    include = verilator.require().include
    return [*own, TEMPLATES, include, include / "vltstd"]


def _defines(trace: bool) -> dict[str, str]:
    names = ("VM_COVERAGE", "VM_SC", "VM_TIMING", "VM_TRACE_SAIF", "VM_TRACE_FST")
    traces = dict.fromkeys(("VM_TRACE", "VM_TRACE_VCD"), str(int(trace)))
    return {"VERILATOR": "1", **dict.fromkeys(names, "0"), **traces}
