"""Finding FINN, starting it without Vivado, keeping it quiet."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import subprocess
import sys
import warnings

import pytest

from qfx_plugin.errors import ToolMissingError
from qfx_plugin.finn_plugin import adapter


def test_finn_plus_is_found():
    assert adapter.flavour() == adapter.FINN_PLUS
    assert adapter.require() == adapter.CHECKED


def test_without_any_finn_the_text_says_what_to_install(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(adapter.importlib.metadata, "version", missing)
    monkeypatch.setattr(adapter.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(adapter, "_started", [])
    assert adapter.flavour() is None
    assert not adapter.available()
    with pytest.raises(ToolMissingError, match=r"pip install finn-plus=="):
        adapter.require()


def test_upstream_finn_is_told_apart(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(adapter.importlib.metadata, "version", missing)
    monkeypatch.setattr(adapter.importlib.util, "find_spec", lambda name: object())
    assert adapter.flavour() == adapter.UPSTREAM
    assert adapter.version() == "finn (source tree)"


def test_a_missing_module_names_the_finn_that_lacks_it():
    with pytest.raises(ToolMissingError, match=r"finn-plus 1\.6\.1 has no usable module finn\.no"):
        adapter.module("finn.no")


def test_quiet_keeps_prints_and_warnings_away_and_leaves_no_trace(capsys):
    level = logging.getLogger().manager.disable
    with adapter.quiet():
        print("progress")  # noqa: T201
        warnings.warn("noise", UserWarning, stacklevel=1)
        logging.getLogger("finn").warning("more noise")
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger().manager.disable == level


def test_the_user_s_environment_wins_and_home_stays_clean(tmp_path):
    code = (
        "import os, sys; from qfx_plugin.finn_plugin import adapter; adapter.require();"
        "assert os.environ['FINN_BUILD_DIR'] == sys.argv[1];"
        "assert os.environ['XILINX_VIVADO'] == '/tools/Vivado/2023.1'"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "HOME": str(home),
        "FINN_BUILD_DIR": str(tmp_path / "build"),
        "XILINX_VIVADO": "/tools/Vivado/2023.1",
    }
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "build")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not [path for path in home.rglob("*") if "finn" in path.name.lower()]


def test_our_operations_are_registered():
    adapter.require()
    registry = adapter.module("qonnx.custom_op.registry")
    node = adapter.module("onnx.helper").make_node(
        "QFXRequant", ["a"], ["b"], domain="finn.custom_op.fpgadataflow"
    )
    assert type(registry.getCustomOp(node)).__name__ == "QFXRequant"
