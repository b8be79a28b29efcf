"""`qfx doctor`: present, missing and unsupported packages and tools."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from qfx_plugin.build.runner import _absent
from qfx_plugin.build.steps import Step
from qfx_plugin.cli import doctor, main
from qfx_plugin.errors import OptionError
from qfx_plugin.needs import find_need

ROOT = Path(__file__).parents[2]


@pytest.fixture
def versions(monkeypatch):
    """Installed packages and versions as the test says; no programs."""
    found = {need.package: "0" for need in doctor.NEEDS.values() if need.package}
    found |= {"numpy": "2.4.6", "torch": "2.12.1", "brevitas": "0.13.0", "onnx": "1.21.0"}
    found |= {"onnxscript": "0.7.2", "onnxoptimizer": "0.4.2", "qonnx": "1.0.0", "rich": "13.9.4"}
    found |= {"scikit-learn": "1.7.2", "hls4ml": "1.4.0", "pyyaml": "6.0.3", "shtab": "1.13.0"}
    del found["alkaid"]

    def version(name: str) -> str:
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    for name in ("XILINX_HLS", "XILINX_VITIS", "XILINX_VIVADO"):
        monkeypatch.delenv(name, raising=False)
    return found


def findings() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine()}


def test_supported_missing_and_unsupported(versions):
    found = findings()
    assert found["torch"].ok and found["torch"].found == "2.12.1"
    assert not found["alkaid"].ok and found["alkaid"].found is None
    assert found["alkaid"].remedy == "pip install 'alkaid>=0.8.2,<0.9'"
    assert not found["hls4ml"].ok and found["hls4ml"].found == "1.4.0"
    assert found["hls4ml"].remedy == ("must be hls4ml>=1.3,<1.4: pip install 'hls4ml>=1.3,<1.4'")
    assert found["Vivado"].found is None


def test_local_and_pre_releases_count_as_their_version(versions):
    versions["torch"] = "2.13.0+cpu"
    assert findings()["torch"].ok
    versions["torch"] = "2.14.0.dev20261001"
    assert findings()["torch"].ok


def test_exit_status_is_about_the_core(versions, capsys):
    assert main(["doctor"]) == 0
    del versions["brevitas"]
    assert main(["doctor"]) == 1
    assert "pip install 'brevitas>=0.13,<0.14'" in capsys.readouterr().out


def test_programs(versions, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/tools/{name}")
    found = findings()
    assert found["Vivado"].found == "/tools/vivado" and found["Vivado"].ok
    assert found["Vitis HLS"].found == "/tools/vitis_hls"
    assert found["Tcl"].found == "/tools/tclsh"
    assert found["C++ compiler"].found == "/tools/g++"


def test_json(capsys):
    assert main(["doctor", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {"qfx-plugin", "python", "works", "needs", "parts", "problems"} == data.keys()
    assert [part["name"] for part in data["parts"]] == [
        "finn", "hls4ml", "rtl", "torch", "qonnx", "onnxruntime", "hls4ml", "finn", "rtl",
    ]  # fmt: skip
    assert not any(part["origin"] for part in data["parts"]) and data["problems"] == []
    assert [need["name"] for need in data["needs"][:2]] == ["numpy", "torch"]
    assert all(need["ok"] for need in data["needs"] if need["kind"] == "core")


def run_without_packages(tmp_path, *arguments):
    """`qfx` in a Python that has nothing but its standard library."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    command = [tmp_path / "bare" / "bin" / "python", "-m", "qfx_plugin.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_machine_with_nothing(tmp_path):
    result = run_without_packages(tmp_path, "doctor")
    assert (result.returncode, result.stderr) == (1, "")
    assert "MISSING  torch" in result.stdout and "pip install 'torch>=2.11'" in result.stdout
    assert "MISSING  C++ compiler" in result.stdout
    assert result.stdout.count("does not work: ") == len(doctor.ABILITIES)
    as_json = run_without_packages(tmp_path, "doctor", "--json")
    assert not any(json.loads(as_json.stdout)["works"].values())
    other = run_without_packages(tmp_path, "verify", "m.onnx")
    assert (other.returncode, other.stderr) == (
        2, "qfx: package numpy is not installed: `qfx doctor` tells what is missing\n",
    )  # fmt: skip


def test_a_machine_with_the_packages(monkeypatch, capsys):
    for name in ("hls4ml", "alkaid", "pyosys", "matplotlib", "mkdocs-material"):
        pytest.importorskip(name.replace("-", "_").replace("mkdocs_material", "mkdocs"))
    for name in ("XILINX_HLS", "XILINX_VITIS", "XILINX_VIVADO"):
        monkeypatch.delenv(name, raising=False)
    assert main(["doctor", "--json"]) == 0
    works = json.loads(capsys.readouterr().out)["works"]
    for ability in ("train and export", "RTL: write Verilog", "run the notebooks"):
        assert works[ability], ability
    assert main(["doctor"]) == 0
    assert "What works" in capsys.readouterr().out


def test_a_machine_with_everything(monkeypatch, tmp_path, capsys):
    found = set(doctor.NEEDS)
    versions = {  # the least of each
        need.package: re.split("[<>=]+", need.requirement)[1].rstrip(",")
        for need in doctor.NEEDS.values()
        if need.package
    }
    monkeypatch.setattr(importlib.metadata, "version", lambda name: versions.get(name, "1"))
    for program in ("vivado", "vitis_hls"):
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    monkeypatch.setenv("XILINX_VIVADO", str(tmp_path))
    monkeypatch.setenv("XILINX_HLS", str(tmp_path))
    assert main(["doctor", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["needs"]) == len(found)
    assert all(data["works"].values()) and all(need["ok"] for need in data["needs"])
    assert main(["doctor"]) == 0
    assert "✗" not in capsys.readouterr().out


def test_abilities_need_what_is_looked_for(versions):
    names = {finding.need for finding in doctor.examine()}
    assert {need for needs in doctor.ABILITIES.values() for need in needs} <= names


def test_requirements_are_those_of_the_project():
    """Versions stand in `pyproject.toml`; what is in the table is the same, word for word."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = set(project["dependencies"])
    for need in doctor.NEEDS.values():
        if need.kind == "core":
            assert need.requirement in core
        elif need.requirement:
            wanted = (e for extra in project["optional-dependencies"].values() for e in extra)
            assert any(
                entry == need.requirement or entry.startswith(f"{need.requirement},")
                for entry in wanted
            ), need.name


@pytest.mark.parametrize(
    ("version", "available"), [("0.8.2", True), ("0.8.1", False), ("0.9.0", False), (None, False)]
)
def test_doctor_and_builds_give_the_same_verdict(version, available, versions, tmp_path):
    if version is not None:
        versions["alkaid"] = version
    assert findings()["alkaid"].ok is available
    step = Step("verilog", "", lambda context: None, needs=("alkaid",))
    assert (_absent(step) == []) is available
    (part,) = (one for one in doctor.parts()[0] if (one.kind, one.name) == ("target", "rtl"))
    assert ("alkaid" in part.missing) is not available


def test_any_package_can_be_needed_by_a_requirement(versions):
    versions["scipy"] = "1.14.0"
    assert find_need("scipy>=1.10").available() and not find_need("scipy >= 2").available()
    text = "step fit needs scipx==3, which is missing: pip install 'scipx==3'"
    assert find_need("scipx==3").missing("fit") == text
    with pytest.raises(OptionError, match=r"^need must be one of numpy, .*, not 'verilatr'$"):
        find_need("verilatr")
