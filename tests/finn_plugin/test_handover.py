"""FINN's folders have random names; what is handed over does not show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qfx_plugin.finn_plugin.hardware.handover import collect
from qfx_plugin.finn_plugin.hardware.zynq import ZynqProject


def make_project(folder: Path, names: tuple[str, str]) -> ZynqProject:
    """Two IPs, A and B, in folders with these names."""
    ips = {}
    for design, name in zip("AB", names, strict=True):
        ips[name] = folder / "build" / f"vivado_stitch_proj_{name}" / "make_project.tcl"
        ips[name].parent.mkdir(parents=True)
        ips[name].write_text(f'create_bd_design "{design}"\n')
    system = folder / "build" / "vivado_zynq_proj_0a1b2c3d" / "ip_config.tcl"
    driver = folder / "build" / "pynq_driver_0a1b2c3d"
    for path in (system, driver / "settings.json"):
        path.parent.mkdir()
        path.write_text("")
    ordered = tuple(ips[name] for name in sorted(ips))  # as a glob gives them
    return ZynqProject(folder / "build", (), ordered, system, driver)


@pytest.mark.parametrize("names", [("aaaaaaaa", "zzzzzzzz"), ("zzzzzzzz", "aaaaaaaa")])
def test_the_order_of_the_scripts_is_that_of_their_names(names, tmp_path):
    found = collect(make_project(tmp_path, names), tmp_path / "handover")
    assert [path.parent.name for path in found.ips] == ["A", "B"]
    text = "".join(path.read_text() for path in (tmp_path / "handover").rglob("*.tcl"))
    assert str(tmp_path) not in text and not any(name in text for name in names)


@pytest.mark.parametrize("place", ["/home/me/.finn/deps/board_files", "/opt/finn/board_files"])
def test_board_files_are_found_in_the_folder(place, tmp_path):
    """Once: what is replaced is not replaced again."""
    project = make_project(tmp_path, ("aaaaaaaa", "bbbbbbbb"))
    project.system.write_text(f'lappend paths_prop "{place}"\n')
    collect(project, tmp_path / "handover")
    lines = (tmp_path / "handover" / "system" / "ip_config.tcl").read_text().splitlines()
    assert lines[-1] == 'lappend paths_prop "$QFX_ROOT/lib/board_files"'
