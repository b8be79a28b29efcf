"""Vivado and Vitis HLS: found, asked for their version, run; by programs that pose as them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from qfx_plugin.errors import TargetError, ToolMissingError
from qfx_plugin.tools import vitis, vivado

VARIABLES = ("XILINX_VIVADO", "XILINX_HLS", "XILINX_VITIS")


def program(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def answers(version: str) -> str:
    return f'[ "$1" = -version ] && echo "{version}" && exit 0'


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_missing():
    assert not vivado.available() and not vitis.available()
    with pytest.raises(ToolMissingError) as error:
        vivado.require()
    assert str(error.value) == (
        "Vivado was not found: looked for vivado on the search path and in the folder that "
        "XILINX_VIVADO names; install AMD Vivado 2020.1 or newer"
    )
    with pytest.raises(ToolMissingError, match="XILINX_HLS or XILINX_VITIS names"):
        vitis.version()


def test_on_the_path(tmp_path, monkeypatch):
    path = program(tmp_path, "vivado", answers("vivado v2023.2 (64-bit)"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert vivado.find() == vivado.require() == str(path)
    assert vivado.version() == "2023.2"


@pytest.mark.parametrize(
    ("variable", "name", "text"),
    [
        ("XILINX_HLS", "vitis_hls", "Vitis HLS - High-Level Synthesis v2022.1 (64-bit)"),
        ("XILINX_VITIS", "vitis_hls", "Vitis HLS - High-Level Synthesis v2022.1 (64-bit)"),
        ("XILINX_VITIS", "vitis-run", "****** vitis-run v2022.1 (64-bit)"),
    ],
)
def test_in_the_folder_of_a_variable(variable, name, text, tmp_path, monkeypatch):
    path = program(tmp_path / "bin", name, answers(text))
    monkeypatch.setenv(variable, str(tmp_path))
    assert vitis.require() == str(path)
    assert vitis.version() == "2022.1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vivado v2019.1 (64-bit)", "Vivado must be 2020.1 or newer, not 2019.1"),
        ("hello", "-version does not tell a version of Vivado"),
    ],
)
def test_versions_that_do_not_do(text, message, tmp_path, monkeypatch):
    program(tmp_path / "bin", "vivado", answers(text))
    monkeypatch.setenv("XILINX_VIVADO", str(tmp_path))
    assert vivado.available()
    with pytest.raises(ToolMissingError) as error:
        vivado.require()
    assert message in str(error.value)


def test_vitis_hls_that_exports_nothing_since_2022(tmp_path, monkeypatch):
    path = program(tmp_path / "bin", "vitis_hls", answers("Vitis HLS v2021.2 (64-bit)"))
    monkeypatch.setenv("XILINX_HLS", str(tmp_path))
    with pytest.raises(ToolMissingError) as error:
        vitis.require()
    assert str(error.value) == (
        f"Vitis HLS 2021.2 ({path}) cannot export an IP since 2022: use 2022.1 or newer, or "
        f"install AMD's y2k22 patch (article 76960) into {tmp_path}"
    )
    patch = tmp_path / "common" / "scripts" / "automg_patch_20220104.tcl"
    patch.parent.mkdir(parents=True)
    patch.write_text("")
    assert vitis.version() == "2021.2"


def test_an_error_of_our_scripts_is_the_first(tmp_path, monkeypatch):
    program(tmp_path / "bin", "vivado", "echo 'QFX: no board files'; echo 'ERROR: x'; exit 1")
    monkeypatch.setenv("XILINX_VIVADO", str(tmp_path))
    with pytest.raises(TargetError, match=r"Vivado fails on s.tcl: QFX: no board files; see"):
        vivado.run(Path("s.tcl"), folder=tmp_path, log=tmp_path / "log")


def test_run(tmp_path, monkeypatch):
    body = 'echo "$@ in $PWD with $QFX_X"; echo problem >&2'
    program(tmp_path / "bin", "vitis-run", body)
    monkeypatch.setenv("XILINX_VITIS", str(tmp_path))
    log = tmp_path / "log"
    vitis.run(Path("s.tcl"), folder=tmp_path, log=log, environment={"QFX_X": "7"})
    assert log.read_text() == f"--mode hls --tcl s.tcl in {tmp_path} with 7\nproblem\n"


def test_a_failure_shows_the_first_error(tmp_path, monkeypatch):
    program(tmp_path / "bin", "vivado", "echo one; echo 'ERROR: [BD 41] two'; exit 3")
    monkeypatch.setenv("XILINX_VIVADO", str(tmp_path))
    log = tmp_path / "log"
    with pytest.raises(TargetError) as error:
        vivado.run(Path("s.tcl"), folder=tmp_path, log=log)
    assert str(error.value) == f"Vivado fails on s.tcl: ERROR: [BD 41] two; see {log}"


def test_a_run_that_takes_too_long_ends_with_its_children(tmp_path, monkeypatch):
    child = tmp_path / "child"
    program(tmp_path / "bin", "vivado", f"(sleep 1.5; touch {child}) & wait")
    monkeypatch.setenv("XILINX_VIVADO", str(tmp_path))
    with pytest.raises(TargetError, match=r"Vivado took more than 0.2 s for s.tcl"):
        vivado.run(Path("s.tcl"), folder=tmp_path, log=tmp_path / "log", seconds=0.2)
    time.sleep(1.6)
    assert not child.exists()
