"""Compiled Verilator models, kept by content: the same sources are never compiled twice."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import TargetError
from ..tools import compiler, verilator
from ..tools.cache import cache_dir
from .model_cpp import FLAGS, HARNESS, QUICK_FLAGS, VerilogPort, compile_classes, prefix

OPTIONS = (
    *("--x-assign", "unique", "--x-initial", "unique", "--assert"),
    *("--output-split-cfuncs", "200", "--no-decoration"),
)
"""Registers and undefined bits start at random. Functions stay short: the time that g++ takes for
one of 10,000 statements is twenty times that for fifty of 200."""

KEPT = 400
"""Compiled models in the cache; the ones not used for longest go first."""


@dataclass(frozen=True)
class VerilogModule:
    """A module and what it is translated from.

    Attributes:
        paths: Verilog and SystemVerilog files in any order.
        top: name of the module.
        parameters: values of its parameters.
        include_dirs: folders searched for included files.
        defines: preprocessor macros and their values.
        memories: files for $readmemh, which the sources name in quotes without a folder.
    """

    paths: Sequence[Path]
    top: str
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    include_dirs: Sequence[Path] = ()
    defines: Mapping[str, str] = field(default_factory=dict)
    memories: Sequence[Path] = ()


@dataclass(frozen=True)
class CompiledModel:
    """A module in a shared library.

    Attributes:
        top: name of the module.
        library: the shared library.
        ports: its ports, by index.
        trace: whether it can write waveforms (VCD).
        number: of the module in the library.
    """

    top: str
    library: Path
    ports: tuple[VerilogPort, ...]
    trace: bool
    number: int = 0


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
    """Translate, compile and keep; see `qfx_plugin.simulation.simulate.compile_module`.

    `harness` is the C++ that drives the model: the functions that the shared library exports.
    """
    source = VerilogModule(sources, top, parameters, include_dirs, defines, memories)
    (model,) = build_models([source], trace=trace, harness=harness)
    return model


def build_models(
    modules: Sequence[VerilogModule],
    *,
    trace: bool = False,
    harness: Path = HARNESS,
    quick: bool = False,
) -> list[CompiledModel]:
    """Translate modules and compile them into one library.

    Args:
        modules: the modules; more than one with the usual harness only.
        trace: whether waveforms are wanted.
        harness: the C++ that drives the model.
        quick: compile fast for a run that is short.

    Raises:
        ToolMissingError: Verilator or the C++ compiler is not installed.
        TargetError: the sources are wrong; the text holds the first error.
    """
    flags = QUICK_FLAGS if quick else FLAGS
    for path in (path for module in modules for path in (*module.paths, *module.memories)):
        if not Path(path).is_file():
            raise TargetError(f"Verilog source {path} does not exist")
    options = [*OPTIONS, "--trace-vcd"] if trace else list(OPTIONS)
    folder = cache_dir() / "verilator" / library_key(modules, [flags, options, harness.read_text()])
    if not (folder / "model.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as temporary:
            work = Path(temporary) / "model"
            classes = work / "cpp"
            classes.mkdir(parents=True)
            for number, module in enumerate(modules):
                _translate(module, classes, number, folder, options)
            ports = compile_classes(
                classes, work / "model.so", len(modules),
                trace=trace, harness=harness, flags=flags, cache=folder.parent,
            )  # fmt: skip
            shutil.rmtree(classes)
            _keep_memories(modules, work)
            rows = [[asdict(port) for port in row] for row in ports]
            (work / "model.json").write_text(json.dumps(rows))
            _move_into_place(work, folder)
        _forget_old(folder.parent)
    (folder / "model.json").touch()
    rows = json.loads((folder / "model.json").read_text())
    return [
        CompiledModel(
            module.top,
            folder / "model.so",
            tuple(VerilogPort(**port) for port in row),
            trace,
            number,
        )
        for number, (module, row) in enumerate(zip(modules, rows, strict=True))
    ]


def _translate(
    module: VerilogModule, classes: Path, number: int, folder: Path, options: Sequence[str]
) -> None:
    copies = classes / f"sources{number}"
    copies.mkdir()
    verilator.translate(
        _with_memories(module, copies, folder / str(number)),
        module.top,
        classes,
        prefix=prefix(number),
        parameters=module.parameters,
        include_dirs=module.include_dirs,
        defines=module.defines,
        options=options,
    )


def _with_memories(module: VerilogModule, copies: Path, folder: Path) -> list[Path]:
    """The sources, copied where they name a memory: the copy has the memory's full path."""
    result = []
    for path in map(Path, module.paths):
        text = path.read_text(encoding="utf-8")
        changed = text
        for memory in module.memories:
            changed = changed.replace(f'"{memory.name}"', f'"{(folder / memory.name).as_posix()}"')
        if changed != text:
            path = copies / f"with_memories_{path.name}"
            path.write_text(changed, encoding="utf-8")
        result.append(path)
    return result


def _keep_memories(modules: Sequence[VerilogModule], work: Path) -> None:
    for number, module in enumerate(modules):
        if module.memories:
            (work / str(number)).mkdir()
            for memory in module.memories:
                shutil.copy(memory, work / str(number))


def library_key(modules: Sequence[VerilogModule], facts: Sequence[object]) -> str:
    """Name of the folder in the cache: a digest of all that the library follows from."""
    digest = hashlib.sha256(repr([verilator.version(), compiler.version(), *facts]).encode())
    for module in modules:
        own = [module.top, sorted(module.parameters.items()), sorted(module.defines.items())]
        own += [str(cache_dir())] if module.memories else []
        digest.update(repr(own).encode())
        headers = [p for d in module.include_dirs for p in sorted(Path(d).glob("*.*v*"))]
        for path in map(Path, [*module.paths, *sorted(module.memories), *headers]):
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
