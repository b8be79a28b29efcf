"""The finder and runner of the C++ compiler."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from qfx_plugin.errors import TargetError, ToolMissingError
from qfx_plugin.tools import compiler


def test_compiles_a_library(tmp_path: Path) -> None:
    source = tmp_path / "twice.cpp"
    source.write_text('extern "C" int scaled(int x) { return FACTOR * x; }')
    library = compiler.compile_shared([source], tmp_path / "twice.so", defines={"FACTOR": "2"})
    assert ctypes.CDLL(str(library)).scaled(21) == 42
    assert sorted(path.name for path in tmp_path.iterdir()) == ["twice.cpp", "twice.so"]


def test_compile_error_is_one_line(tmp_path: Path) -> None:
    source = tmp_path / "wrong.cpp"
    source.write_text("int x = nothing;")
    with pytest.raises(TargetError, match=r"could not compile .*wrong\.cpp: .*error: .*nothing"):
        compiler.compile_shared([source], tmp_path / "wrong.so")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.cpp"]


def test_version_names_the_compiler() -> None:
    assert compiler.available()
    assert compiler.version()


def test_missing_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not compiler.available()
    with pytest.raises(
        ToolMissingError,
        match=r"^no C\+\+ compiler found \(looked for g\+\+, clang\+\+, c\+\+\): install the "
        r"package 'g\+\+' \(Debian, Ubuntu\), 'gcc-c\+\+' \(Fedora\) or the Xcode command line "
        r"tools \(macOS\)$",
    ):
        compiler.require()


def test_wanted_compiler_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolMissingError, match=r"looked for CXX=no-such-compiler"):
        compiler.require()
