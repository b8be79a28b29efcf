"""Headers compiled once for all projects: used where there are any, never needed."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.hls4ml_backend import convert
from qfx_plugin.hls4ml_backend.simulation import csim, precompiled
from qfx_plugin.tools import compiler, process
from qfx_plugin.tools.precompiled import KEPT
from tests import qonnx_models as models

hls4ml = pytest.importorskip("hls4ml", reason="pip install qfx-plugin[hls4ml]")
HOST_FILES = Path(hls4ml.__file__).parent / "templates" / "vivado"
FLAGS = ("-O1", "-std=c++17")

WEIGHTS = """
#include <cassert>
#include "ap_fixed.h"
#include "ap_int.h"
#include "nnet_utils/nnet_helpers.h"
#include "qfx_weights.h"
template <class T> static int differing() {
    static T theirs[COUNT], ours[COUNT];
    nnet::load_weights_from_txt<T, COUNT>(theirs, "w.txt");
    nnet::qfx_load_weights_from_txt<T, COUNT>(ours, "w.txt");
    int count = 0;
    for (int i = 0; i < COUNT; i++) count += theirs[i] != ours[i];
    return count;
}
namespace nnet {
bool trace_enabled;
size_t trace_type_size;
std::map<std::string, void *> *trace_outputs;
}
extern "C" int all_differing() {
    return differing<ap_fixed<8, 3>>() + differing<ap_ufixed<5, 9>>() + differing<ap_fixed<4, -2>>()
        + differing<ap_fixed<60, 30>>() + differing<ap_fixed<70, 40>>() + differing<ap_int<6>>()
        + differing<ap_fixed<6, 2, AP_RND, AP_SAT>>() + differing<float>();
}
"""


@pytest.fixture
def firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the headers of a project, and a cache of its own."""
    monkeypatch.setenv("QFX_CACHE", str(tmp_path / "cache"))
    for name in ("ap_types", "nnet_utils"):
        shutil.copytree(HOST_FILES / name, tmp_path / "firmware" / name)
    return tmp_path / "firmware"


@pytest.fixture
def precompiled_ones(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that would have been written by a compiler of GNU."""
    written: list[Path] = []

    def write(header: Path, output: Path, **options: object) -> Path:
        written.append(output)
        output.write_text(f"{header} {options}")
        return output

    monkeypatch.setattr(compiler, "precompile_header", write)
    monkeypatch.setattr(compiler, "version", lambda: "g++ (tests) 1.0")
    return written


def folders(firmware: Path, flags: tuple[str, ...] = FLAGS) -> list[Path]:
    """That the compiler is told of."""
    told: list[Path] = []

    def tell(_: object, output: Path, *, include_dirs: list[Path], **__: object) -> Path:
        told[:] = include_dirs
        return output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "compile_shared", tell)
        precompiled.compile_shared(Path("net.cpp"), Path("net.so"), firmware, flags)
    return told


def test_the_second_project_makes_the_file(firmware: Path, precompiled_ones: list[Path]) -> None:
    plain = folders(firmware)
    assert plain == [firmware / "ap_types", firmware, precompiled.FOLDER]
    for _ in range(2):
        folder, *others = folders(firmware)
        assert others == plain
        assert precompiled_ones == [folder / "qfx_simulation.h.gch"]


def test_other_headers_and_flags_are_another_file(
    firmware: Path, precompiled_ones: list[Path]
) -> None:
    def folder(flags: tuple[str, ...] = FLAGS) -> Path:
        folders(firmware, flags)
        return folders(firmware, flags)[0]

    first = folder()
    (firmware / "nnet_utils" / precompiled.OF_THE_PROJECT).write_text("// of one project\n")
    assert folder() == first
    assert folder(("-Og", "-std=c++17")) != first
    (firmware / "nnet_utils" / "nnet_dense.h").write_text("// changed\n")
    assert folder() != first
    assert len(precompiled_ones) == 3


def test_only_a_few_are_kept(firmware: Path, precompiled_ones: list[Path]) -> None:
    for level in range(2 * KEPT):
        for _ in range(2):
            folders(firmware, (f"-O{level}",))
    assert sum(path.exists() for path in precompiled_ones) == KEPT


def test_headers_are_read_as_text_where_nothing_can_be_kept(
    firmware: Path, precompiled_ones: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = folders(firmware)

    def fail(*_: object, **__: object) -> Path:
        raise TargetError("g++ could not compile")

    monkeypatch.setattr(compiler, "precompile_header", fail)
    assert folders(firmware) == plain
    monkeypatch.setenv("QFX_CACHE", str(firmware / "ap_types" / "ap_int.h"))  # no folder
    assert folders(firmware) == plain
    monkeypatch.setattr(compiler, "version", lambda: "Debian clang version 19")
    assert folders(firmware) == plain
    assert precompiled_ones == []


def test_a_file_that_cannot_be_loaded_is_done_without(
    firmware: Path, precompiled_ones: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[Path]] = []

    def fail(_: object, output: Path, *, include_dirs: list[Path], **__: object) -> Path:
        told.append(include_dirs)
        if len(include_dirs) > 3:
            raise TargetError("had to relocate PCH")
        return output

    monkeypatch.setattr(compiler, "compile_shared", fail)
    (firmware.parent / "net_bridge.cpp").write_text("void net_double() {\n}\n")
    for _ in range(2):
        library = csim.build_library(firmware.parent, "net")
        assert library.parent == firmware
    plain = [firmware / "ap_types", firmware, precompiled.FOLDER]
    assert told == [plain, [precompiled_ones[0].parent, *plain], plain]


def test_weights_are_read_as_hls4ml_reads_them(firmware: Path, rng: np.random.Generator) -> None:
    values = np.concatenate([rng.normal(0, 10**power, size=200) for power in range(-5, 6)])
    codes = rng.integers(-(1 << 20), 1 << 20, size=200) / (1 << 10)
    tokens = [*map(repr, values.tolist()), *(f"{code:.10f}" for code in codes), "0", "-0.0", "1e3"]
    (firmware / "w.txt").write_text(", ".join(tokens) + "\n")
    source = firmware / "weights.cpp"
    source.write_text(WEIGHTS)
    defines = {"WEIGHTS_DIR": f'"{firmware}"', "COUNT": str(len(tokens))}
    folders = [precompiled.FOLDER, firmware / "ap_types", firmware]
    library = compiler.compile_shared(
        [source], firmware / "w.so", include_dirs=folders, defines=defines, flags=FLAGS
    )
    assert ctypes.CDLL(str(library)).all_differing() == 0


@pytest.mark.slow
def test_projects_are_equal_with_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is compiled from text, the others from the file; g++ says that it is used."""
    if "clang" in compiler.version().lower():
        pytest.skip("only GNU compilers keep what they know after a header")
    monkeypatch.setenv("QFX_CACHE", str(tmp_path / "cache"))
    model = models.mlp((4, 5), 6)
    x = models.random_inputs(model, 50, seed=3)
    commands: list[list[str]] = []
    run = process.run

    def recorded(command: list[str], **options: object) -> object:
        if "-shared" in command:
            commands.append([part for part in command if part != "-shared"])
        return run(command, **options)

    monkeypatch.setattr(process, "run", recorded)
    results = [convert(model, tmp_path / name).predict(x) for name in "abc"]
    results.append(convert(model, tmp_path / "d").compile(quick=True).predict(x))
    assert all(np.array_equal(result, results[0]) for result in results)
    used = []
    for command in commands[:3]:
        told = run([*command, "-fsyntax-only", "-H"])
        assert told.returncode == 0
        used.append(any(line.startswith("! ") for line in told.stderr.splitlines()))
    assert used == [False, True, True]
