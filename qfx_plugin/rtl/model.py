"""Compiled Verilator models, kept by content: the same sources are never compiled twice."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import TargetError
from ..tools import compiler, verilator

HARNESS = Path(__file__).parent / "templates" / "harness.cpp"
PREFIX = "Vqfx"
FLAGS = ("-O1", "-std=c++17", "-fvisibility=hidden", "-pthread")
OPTIONS = (
    *("--x-assign", "unique", "--x-initial", "unique", "--assert"),
    *("--output-split-cfuncs", "200"),
)
"""Registers and undefined bits start at random. Functions stay short: the time that g++ takes for
one of 10,000 statements is twenty times that for fifty of 200."""

KEPT = 400
"""Compiled models in the cache; the ones not used for longest go first."""

_PORT = re.compile(r"VL_(IN|OUT|INOUT)(8|16|64|W)?\(&(\w+),(\d+),(\d+)(?:,\d+)?\)")
_BYTES = {"8": 1, "16": 2, None: 4, "64": 8}


@dataclass(frozen=True)
class Port:
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


@dataclass(frozen=True)
class CompiledModel:
    """A module as a shared library.

    Attributes:
        top: name of the module.
        library: the shared library.
        ports: its ports, by index.
        trace: whether it can write waveforms (VCD).
    """

    top: str
    library: Path
    ports: tuple[Port, ...]
    trace: bool


def cache_dir() -> Path:
    """Where compiled things are kept: `QFX_CACHE`, else `qfx` in the user's cache folder."""
    own = os.environ.get("QFX_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "qfx"


def build_model(
    sources: Sequence[Path],
    top: str,
    parameters: Mapping[str, int | str],
    include_dirs: Sequence[Path],
    defines: Mapping[str, str],
    memories: Sequence[Path],
    trace: bool,
    harness: Path = HARNESS,
) -> CompiledModel:
    """Translate, compile and keep; see `qfx_plugin.rtl.simulate.compile_module`.

    `harness` is the C++ that drives the model: the functions that the shared library exports.
    """
    sources = [Path(path) for path in sources]
    memories = sorted(Path(path) for path in memories)
    for path in (*sources, *memories):
        if not path.is_file():
            raise TargetError(f"Verilog source {path} does not exist")
    options = [*OPTIONS, "--trace-vcd"] if trace else list(OPTIONS)
    facts = [verilator.version(), compiler.version(), FLAGS, options, top, harness.read_text()]
    facts += [sorted(parameters.items()), sorted(defines.items())]
    facts += [str(cache_dir())] if memories else []
    key = _digest(facts, [*sources, *memories], include_dirs)
    folder = cache_dir() / "verilator" / key
    if not (folder / "model.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as temporary:
            work = Path(temporary) / "model"
            (work / "cpp").mkdir(parents=True)
            verilator.translate(
                _with_memories(sources, memories, work / "cpp", folder),
                top,
                work / "cpp",
                prefix=PREFIX,
                parameters=parameters,
                include_dirs=include_dirs,
                defines=defines,
                options=options,
            )
            _compile(work, trace, harness)
            shutil.rmtree(work / "cpp")
            for path in memories:
                shutil.copy(path, work)
            _move_into_place(work, folder)
        _forget_old(folder.parent)
    (folder / "model.json").touch()
    ports = tuple(Port(**entry) for entry in json.loads((folder / "model.json").read_text()))
    return CompiledModel(top, folder / "model.so", ports, trace)


def _with_memories(
    sources: Sequence[Path], memories: Sequence[Path], copies: Path, folder: Path
) -> list[Path]:
    """The sources, copied where they name a memory: the copy has the memory's full path."""
    result = []
    for source in sources:
        text = source.read_text(encoding="utf-8")
        changed = text
        for memory in memories:
            changed = changed.replace(f'"{memory.name}"', f'"{(folder / memory.name).as_posix()}"')
        if changed != text:
            source = copies / f"with_memories_{source.name}"
            source.write_text(changed, encoding="utf-8")
        result.append(source)
    return result


def _compile(work: Path, trace: bool, harness: Path) -> None:
    """All classes and the harness as one translation unit: one pass over Verilator's headers."""
    classes = work / "cpp"
    ports, table = _port_table((classes / f"{PREFIX}.h").read_text())
    (classes / "ports.inc").write_text(table)
    parts = sorted(path.name for path in classes.glob(f"{PREFIX}*.cpp"))
    lines = [f'#include "{name}"\n' for name in (*parts, "harness.cpp")]
    shutil.copy(harness, classes / "harness.cpp")
    (classes / "all.cc").write_text("".join(lines))
    compiler.compile_shared(
        [classes / "all.cc", *_runtime(trace)],
        work / "model.so",
        include_dirs=_includes(classes),
        defines=_defines(trace),
        flags=FLAGS,
    )
    (work / "model.json").write_text(json.dumps([asdict(port) for port in ports]))


def _port_table(header: str) -> tuple[list[Port], str]:
    """Ports of the top class, and C++ that reaches them by index."""
    ports: list[Port] = []
    cases, sizes = [], []
    for direction, kind, member, msb, lsb in _PORT.findall(header):
        width = int(msb) - int(lsb) + 1
        name = re.sub(r"___0([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), member)
        size = 4 * -(-width // 32) if kind == "W" else _BYTES[kind or None]
        ports.append(Port(name, len(ports), width, direction == "IN"))
        cases.append(f"        case {len(cases)}: return &top.{member};\n")
        sizes.append(str(size))
    if not ports:
        raise TargetError("the module has no port that can be driven")
    table = (
        "static void* port_data(Vqfx& top, int port) {\n    switch (port) {\n"
        + "".join(cases)
        + "        default: return nullptr;\n    }\n}\n"
        + f"constexpr int kPortBytes[] = {{{', '.join(sizes)}}};\n"
    )
    return ports, table


def _runtime(trace: bool) -> list[Path]:
    """Object files of Verilator's run-time library, compiled once for each kind of trace."""
    names = ["verilated", "verilated_threads"]
    names += ["verilated_vcd_c"] if trace else []
    facts = f"{verilator.version()} {compiler.version()} {FLAGS} {trace}"
    folder = (
        cache_dir() / "verilator" / f"runtime-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    include = verilator.require().include
    objects = []
    for name in names:
        target = folder / f"{name}.o"
        if not target.exists():
            compiler.compile_object(
                include / f"{name}.cpp",
                target,
                include_dirs=_includes(),
                defines=_defines(trace),
                flags=("-O2", *FLAGS[1:]),
            )
        objects.append(target)
    return objects


def _includes(*own: Path) -> list[Path]:
    include = verilator.require().include
    return [*own, include, include / "vltstd"]


def _defines(trace: bool) -> dict[str, str]:
    names = ("VM_COVERAGE", "VM_SC", "VM_TIMING", "VM_TRACE_SAIF", "VM_TRACE_FST")
    traces = dict.fromkeys(("VM_TRACE", "VM_TRACE_VCD"), str(int(trace)))
    return {"VERILATOR": "1", **dict.fromkeys(names, "0"), **traces}


def _digest(facts: Sequence[object], sources: Sequence[Path], include_dirs: Sequence[Path]) -> str:
    digest = hashlib.sha256(repr(facts).encode())
    headers = [path for folder in include_dirs for path in sorted(Path(folder).glob("*.*v*"))]
    for path in [*sources, *headers]:
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def _move_into_place(work: Path, folder: Path) -> None:
    """Atomic; another process may have been faster, with the same content."""
    try:
        work.rename(folder)
    except OSError:
        if not (folder / "model.json").exists():
            raise


def _forget_old(folder: Path) -> None:
    models = [path for path in folder.iterdir() if (path / "model.json").exists()]
    models.sort(key=lambda path: (path / "model.json").stat().st_mtime)
    for path in models[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
