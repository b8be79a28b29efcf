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
"""FINN's driver: y = 2 x on integer streams, channels last; its clock is what the .hwh says."""
import pathlib
import numpy as np
import pynq

class FINNDMAOverlay:
    def __init__(self, bitfile, platform, io_shape_dict, batch_size=1, fclk_mhz=100.0):
        assert bitfile.endswith("accelerator.bit") and platform == "zynq-iodma"
        self.shape = (batch_size, *io_shape_dict["ishape_normal"][0][1:])
        self.path = pathlib.Path(bitfile)
        if pynq.PL.kept.setdefault(self.path, self.path.read_bytes()) != self.path.read_bytes():
            raise RuntimeError("metadata of the design before")
        pynq.Clocks.fclk0_mhz = pynq.Clocks.gives
        self.fclk_mhz_actual = float(self.path.with_suffix(".hwh").read_text())

    def ishape_normal(self, ind=0):
        return self.shape

    def execute(self, stream):
        assert stream.shape == self.shape and stream.dtype == np.float32
        return 2 * stream
'''
PYNQ = """\
import os, sys
class PL:
    kept = {}
    def reset():
        sys.stdout.write(f"forgotten, XRT in {os.environ['XILINX_XRT']}. ")
        PL.kept.clear()
class Clocks:
    gives = float(os.environ.get("FAKE_MHZ", "99.999"))
"""
NETWORK_ID = "0123abcd" + 24 * "0"


def bitstream(network_id: str) -> bytes:
    """The head of one as Vivado writes it."""
    head = f"top_wrapper;COMPRESS=TRUE;UserID=0X{network_id[:8].upper()};Version=2023.2".encode()
    return b"\0\x09" + 4 * b"\x0f\xf0" + b"\0\0\x01a" + bytes([0, len(head)]) + head + 9 * b"\0"


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
    settings = {"platform": "zynq-iodma", "fclk_mhz": 200.0}
    settings["io_shape_dict"] = {
        "idt": ["DataType['INT8']"], "ishape_normal": [[1, 2, 2, 2]],
        "odt": ["DataType['INT9']"], "oshape_normal": [[1, 2, 2, 2]],
    }  # fmt: skip
    own = {"network": "net", "network_id": NETWORK_ID, "clock_mhz": 199.998}
    (folder / "accelerator.json").write_text(json.dumps(own))
    (folder / "accelerator.bit").write_bytes(bitstream(NETWORK_ID))
    (folder / "accelerator.hwh").write_text("200.0")
    (folder / "settings.json").write_text(json.dumps({"driver_information": settings}))
    codes = rng.integers(-128, 128, (20, 2, 2, 2))
    np.save(folder / "inputs.npy", codes.reshape(20, 8) / 8)
    np.save(folder / "expected_0.npy", 2 * codes)
    return folder


def run(overlay: Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "pynq.py").write_text(PYNQ)
    driver = folder / "finn_plus_driver" / "overlays"
    driver.mkdir(parents=True, exist_ok=True)
    (driver / "dma.py").write_text(STAND_IN)
    return subprocess.run(
        [sys.executable, overlay / "run_on_board.py"],
        env=os.environ
        | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_codes_go_through_finn_s_driver(overlay, tmp_path):
    result = run(overlay, tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("forgotten, XRT in /usr. 20 samples, 0 of 160 codes differ, ")
    told = json.loads((overlay / "board.json").read_text())
    assert told["clock_mhz"] == pytest.approx(199.998) and told["differing"] == 0
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


def test_a_bitstream_of_another_network_is_not_loaded(overlay, tmp_path):
    (overlay / "accelerator.bit").write_bytes(bitstream("fedcba98"))
    result = run(overlay, tmp_path)
    assert result.returncode == 2 and result.stderr == (
        "run_on_board.py: WrongBitstreamError: accelerator.bit is of another network: 'net' has an "
        "id that begins with 0123abcd, the bitstream has fedcba98: copy .bit, .hwh and "
        "accelerator.json of one build\n"
    )
    for content in (bitstream("ffffffff"), b"no head"):  # which tell nothing
        (overlay / "accelerator.bit").write_bytes(content)
        assert run(overlay, tmp_path).returncode == 0
    assert len(list((overlay / ".loaded").iterdir())) == 3  # a path each


@pytest.mark.parametrize(
    ("field", "value"),
    [("idt", ["DataType['UINT8']"]), ("idt", ["DataType['INT4']"]), ("idt", []),
     ("ishape_normal", [[1, 2, 2, 3]]), ("oshape_normal", [[1, 4]])],
)  # fmt: skip
def test_streams_of_another_network_are_told(field, value, overlay, tmp_path):
    settings = json.loads((overlay / "settings.json").read_text())
    settings["driver_information"]["io_shape_dict"][field] = value
    (overlay / "settings.json").write_text(json.dumps(settings))
    result = run(overlay, tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("run_on_board.py: DataError: settings.json ")


def test_the_clock_that_finn_s_accelerator_gets(overlay, tmp_path):
    """The clocking wizard's figure, and the processor's clock in front of it."""
    result = run(overlay, tmp_path, FAKE_MHZ="150")
    assert result.returncode == 2
    assert "the board clocks the logic with 300 MHz, and it is built for 199.998" in result.stderr
    result = run(overlay, tmp_path, FAKE_MHZ="50")
    assert result.returncode == 0
    assert "the board clocks the logic with 100 MHz, not 199.998 MHz" in result.stderr
    assert json.loads((overlay / "board.json").read_text())["clock_mhz"] == 100


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
