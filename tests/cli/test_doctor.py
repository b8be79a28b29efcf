"""`qfx doctor`: present, missing and unsupported packages and tools."""

from __future__ import annotations

import importlib.metadata
import json
import shutil

import pytest

from qfx_plugin.cli import doctor, main


@pytest.fixture
def versions(monkeypatch):
    """Installed packages and versions as the test says; no programs."""
    found = {need.name.split(">")[0].split("=")[0]: "0" for need in doctor.NEEDS}
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
    assert found["alkaid"].remedy == "pip install 'qfx-plugin[rtl]'"
    assert not found["hls4ml"].ok and found["hls4ml"].found == "1.4.0"
    assert found["hls4ml"].remedy == ("must be hls4ml>=1.3,<1.4: pip install 'qfx-plugin[hls4ml]'")
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
    assert {"qfx-plugin", "python", "needs"} == data.keys()
    assert [need["name"] for need in data["needs"][:2]] == ["numpy", "torch"]
    assert all(need["ok"] for need in data["needs"] if need["kind"] == "core")
