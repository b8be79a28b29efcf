"""The facts that stand in more than one file agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import brevitas_quantizers
import qfx_plugin
from qfx_plugin.cli.doctor import NEEDS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("#")[0].strip().split("==") for line in lines if "==" in line)
    return {canonical(package): version for package, version in pairs}


def canonical(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def requirement_name(requirement: str) -> str:
    return canonical(re.split(r"[<>=!~\[; ]", requirement)[0])


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert brevitas_quantizers.__version__ == PROJECT["version"]
    assert f"\nversion: {PROJECT['version']}\n" in citation


def test_both_packages_tell_the_version_and_show_only_what_is_public():
    assert qfx_plugin.__version__ == brevitas_quantizers.__version__
    for package in (brevitas_quantizers, qfx_plugin):
        assert dir(package) == sorted(package.__all__)
        assert all(getattr(package, name) is not None for name in package.__all__)


def test_an_editable_install_is_a_path():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["package-dir"] == {"": "."}  # else nothing finds the types


def test_all_extra_holds_every_extra():
    extras = PROJECT["optional-dependencies"]
    (all_of_them,) = extras["all"]
    assert set(re.search(r"\[(.*)\]", all_of_them)[1].split(",")) == set(extras) - {"all"}


def test_everything_wanted_is_pinned():
    wanted = [*PROJECT["dependencies"]]
    wanted += [entry for extra in PROJECT["optional-dependencies"].values() for entry in extra]
    names = {requirement_name(entry) for entry in wanted} - {"qfx-plugin"}
    assert names <= pins("constraints.txt").keys()


@pytest.mark.parametrize("name", ["constraints.txt", ".ci/constraints-newest.txt"])
def test_pins_are_plain_versions(name):
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins(name).values())


def test_doctor_asks_for_all_of_the_core():
    core = {need.requirement for need in NEEDS.values() if need.kind == "core"}
    assert core == {*PROJECT["dependencies"]} - {"packaging>=23"}
