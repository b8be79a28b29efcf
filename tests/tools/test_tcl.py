"""Tcl: by tclsh, and by the interpreter in Python's tkinter."""

from __future__ import annotations

import shutil

import pytest

from qfx_plugin.errors import TargetError, ToolMissingError
from qfx_plugin.tools import tcl

SCRIPT = """\
set out [open result.txt w]
puts $out "[file tail [info script]] $argv [llength $argv]"
close $out
"""


@pytest.fixture(params=["tclsh", "tkinter"])
def kind(request, monkeypatch):
    if request.param == "tkinter":
        pytest.importorskip("_tkinter")
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif shutil.which("tclsh") is None:
        pytest.skip("no tclsh")
    return request.param


def test_run(kind, tmp_path):
    script = tmp_path / "s.tcl"
    script.write_text(SCRIPT)
    tcl.run(script, "a", "b c", folder=tmp_path)
    assert (tmp_path / "result.txt").read_text() == "s.tcl a {b c} 2\n"


def test_errors(kind, tmp_path):
    script = tmp_path / "s.tcl"
    script.write_text("create_project x\n")
    with pytest.raises(TargetError) as error:
        tcl.run(script, folder=tmp_path)
    assert str(error.value) == 'Tcl script s.tcl fails: invalid command name "create_project"'


def test_version(kind):
    assert tcl.version().startswith("Tcl ")


def test_missing(monkeypatch):
    monkeypatch.setattr(tcl, "find", lambda: None)
    assert not tcl.available()
    with pytest.raises(ToolMissingError, match="no Tcl found: install the package 'tcl'"):
        tcl.require()
