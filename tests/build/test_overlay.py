"""The overlay of target finn: FINN's driver, by a stand-in, fed with our codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qfx_plugin.build.check.overlay import check_finn_driver
from qfx_plugin.build.overlay import copy_driver, write_finn_driver, write_run_script
from qfx_plugin.build.render import render
from qfx_plugin.errors import TargetError
from qfx_plugin.finn_plugin.contract import Contract, FinnInput, FinnStream
from tests.driver.test_layout import description

STAND_IN = '''\
"""FINN's driver: y = 2 x on integer streams, channels last."""
import numpy as np

class FINNDMAOverlay:
    def __init__(self, bitfile, platform, io_shape_dict, batch_size=1, fclk_mhz=100.0):
        assert bitfile.endswith("accelerator.bit") and platform == "zynq-iodma"
        self.shape = (batch_size, *io_shape_dict["ishape_normal"][0][1:])

    def ishape_normal(self, ind=0):
        return self.shape

    def execute(self, stream):
        assert stream.shape == self.shape and stream.dtype == np.float32
        return 2 * stream
'''


@pytest.fixture
def overlay(tmp_path, rng) -> Path:
    """A folder as `continue.sh` leaves it."""
    port = (2, 2, 2), (2, 2, 2), (7, 0, 1, 2, 3, 4, 6, 5), (3,)
    source = FinnInput("x", *port, (8,), 8, True, "AP_RND", "AP_SAT")
    contract = Contract((source,), (FinnStream("y", *port),))
    folder = tmp_path / "overlay"
    folder.mkdir()
    write_finn_driver(folder)
    (folder / "contract.json").write_text(contract.to_json())
    settings = {"platform": "zynq-iodma", "fclk_mhz": 100.0}
    settings["io_shape_dict"] = {"ishape_normal": [[1, 2, 2, 2]]}
    (folder / "settings.json").write_text(json.dumps({"driver_information": settings}))
    codes = rng.integers(-128, 128, (20, 2, 2, 2))
    np.save(folder / "inputs.npy", codes.reshape(20, 8) / 8)
    np.save(folder / "expected_0.npy", 2 * codes)
    return folder


def run(overlay: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    driver = folder / "finn_plus_driver" / "overlays"
    driver.mkdir(parents=True, exist_ok=True)
    (driver / "dma.py").write_text(STAND_IN)
    return subprocess.run(
        [sys.executable, overlay / "run_on_board.py"],
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_codes_go_through_finn_s_driver(overlay, tmp_path):
    result = run(overlay, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("20 samples, 0 of 160 codes differ, ")
    expected = np.load(overlay / "expected_0.npy")
    expected[3, 1] += 1
    np.save(overlay / "expected_0.npy", expected)
    result = run(overlay, tmp_path)
    assert result.returncode == 1 and "20 samples, 4 of 160 codes differ" in result.stdout


def test_what_feeds_finn_s_driver_loads_without_the_rest_of_qfx(overlay):
    assert "which needs numpy" in check_finn_driver(overlay)


def test_without_finn_s_driver(overlay):
    result = subprocess.run(
        [sys.executable, "-B", overlay / "run_on_board.py"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr == (
        "run_on_board.py: No module named 'finn_plus_driver': pip install finn-plus-driver\n"
    )


def test_what_finn_s_driver_raises_is_no_difference(overlay, tmp_path):
    """Status 1 says that codes differ."""
    settings = json.loads((overlay / "settings.json").read_text())
    settings["driver_information"]["platform"] = "alveo"
    (overlay / "settings.json").write_text(json.dumps(settings))
    result = run(overlay, tmp_path)
    assert result.returncode == 2 and result.stderr == "run_on_board.py: AssertionError: \n"


def test_pynq_s_metadata_are_forgotten_before_finn_s_driver(overlay, tmp_path):
    """XRT's variable, which `sudo` drops, is set, too."""
    (tmp_path / "pynq.py").write_text(
        "import os, sys\nclass PL:\n    reset = staticmethod(\n"
        "        lambda: sys.stdout.write(f'forgotten, XRT in {os.environ[\"XILINX_XRT\"]}. '))\n"
    )
    (tmp_path / "finn_plus_driver").mkdir()
    (tmp_path / "finn_plus_driver" / "__init__.py").write_text("import pynq\n")
    result = run(overlay, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("forgotten, XRT in /usr. 20 samples, 0 of 160 codes differ")


def test_off_the_board(tmp_path):
    write_run_script(tmp_path, "net_axi")
    copy_driver(tmp_path)
    (tmp_path / "accelerator.json").write_text(description().to_json())
    np.save(tmp_path / "inputs.npy", np.zeros((2, 4), np.float32))
    result = subprocess.run(
        [sys.executable, "-B", tmp_path / "run_on_board.py"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr == (
        "run_on_board.py: PYNQ is not installed: run this on the board, or give a backend\n"
    )


def test_what_is_checked_can_fail(overlay):
    assert check_finn_driver(overlay).startswith("driver: contract.json and its reader load")
    path = overlay / "qfx_finn" / "streams" / "contract.py"
    text = path.read_text()
    path.write_text(text.replace("import json\n", "import json\nimport packaging\n"))
    with pytest.raises(TargetError, match="overlay: the driver needs packaging"):
        check_finn_driver(overlay)
    path.write_text(text)
    (overlay / "contract.json").write_text("{}")
    with pytest.raises(TargetError, match="cannot be imported: .*metadata 'qfx_contract' is dam"):
        check_finn_driver(overlay)


def continued(folder: Path) -> subprocess.CompletedProcess[str]:
    """`continue.sh` with tools that do nothing."""
    for name in ("vitis_hls", "vivado"):
        tool = folder / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    (folder / "continue.sh").write_text(render("finn/continue.sh", HLS="", VIVADO=""))
    return subprocess.run(
        ["bash", folder / "continue.sh"],
        env=os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["gen", "srcs"])
def test_continue_sh_leaves_an_overlay(kind, tmp_path):
    bitstream = tmp_path / "system/finn_zynq_link.runs/impl_1/top_wrapper.bit"
    hardware = tmp_path / f"system/finn_zynq_link.{kind}/sources_1/bd/top/hw_handoff/top.hwh"
    for path in (bitstream, tmp_path / "lib/finn-hlslib/a.h", tmp_path / "driver/settings.json"):
        path.parent.mkdir(parents=True)
        path.write_text(path.name)
    result = continued(tmp_path)
    assert (result.returncode, result.stderr) == (1, "continue.sh: Vivado wrote no top.hwh\n")
    hardware.parent.mkdir(parents=True)
    hardware.write_text("top.hwh")
    result = continued(tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"continue.sh: the overlay is in {tmp_path / 'overlay'}\n"
    found = {path.name for path in (tmp_path / "overlay").iterdir()}
    assert found == {"accelerator.bit", "accelerator.hwh", "settings.json"}
