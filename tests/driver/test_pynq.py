"""What the driver does with PYNQ, by a module that poses as it; and power."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from qfx_plugin.driver import AcceleratorError, NoPowerSensor, QfxAccelerator
from qfx_plugin.driver.power import hwmon_watts, measured, rail_watts


class Array(np.ndarray):
    """What `pynq.allocate` returns."""

    def flush(self):
        self.owner.flush()

    def invalidate(self):
        self.owner.invalidate()

    def freebuffer(self):
        self.owner.free()


def allocate_from(board):
    def allocate(shape, dtype):
        assert dtype == np.uint8
        buffer = board.allocate(*shape)
        array = buffer.data.view(Array)
        array.owner, array.device_address = buffer, buffer.address
        return array

    return allocate


@pytest.fixture
def pynq(case, board, monkeypatch):
    """A module `pynq` in front of the simulated board."""
    description = case.shell.description
    blocks = {
        description.accelerator_address: board.accelerator,
        description.dma_address: board.dma,
    }

    def mmio(address, length):
        assert length == 0x10000
        return blocks[address]

    module = ModuleType("pynq")
    module.loaded = []
    module.Overlay = module.loaded.append
    module.MMIO = mmio
    module.allocate = allocate_from(board)
    monkeypatch.setitem(sys.modules, "pynq", module)
    return module


@pytest.fixture
def overlay(case, tmp_path):
    """A folder as it lies on the board."""
    (tmp_path / "m_axi.hwh").write_text("")
    (tmp_path / "accelerator.json").write_text(case.shell.description.to_json())
    path = tmp_path / "m_axi.bit"
    path.write_bytes(b"")
    return path


def test_from_the_bit_file(case, pynq, overlay, board):
    """Caches are flushed and invalidated: the simulated memory shows nothing else."""
    with QfxAccelerator(overlay) as accelerator:
        np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)
    assert pynq.loaded == [str(overlay)]
    assert board.buffers and all(buffer.freed for buffer in board.buffers)


def test_no_pynq(overlay, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(AcceleratorError) as error:
        QfxAccelerator(overlay)
    assert str(error.value) == "PYNQ is not installed: run this on the board, or give a backend"


def test_a_file_of_the_overlay_is_missing(pynq, overlay):
    overlay.with_suffix(".hwh").unlink()
    with pytest.raises(AcceleratorError) as error:
        QfxAccelerator(overlay)
    assert str(error.value) == f"overlay: there is no file {overlay.with_suffix('.hwh')}"


def rail(**values):
    sensors = {name: SimpleNamespace(value=value) for name, value in values.items()}
    return SimpleNamespace(**{"voltage": None, "current": None, "power": None} | sensors)


def test_rails_of_pynq():
    rails = {"INT": rail(power=1.5, voltage=9), "AUX": rail(voltage=2.0, current=0.25),
             "HALF": rail(voltage=1.0)}  # fmt: skip
    assert rail_watts(rails) == {"INT": 1.5, "AUX": 0.5}


def write_sensor(folder, chip, **files):
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{chip}\n")
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def test_sensors_of_the_kernel(tmp_path):
    write_sensor(tmp_path / "hwmon0", "ina226", power1_input=1_250_000, power1_label="PL")
    write_sensor(tmp_path / "hwmon1", "irps5401", power2_input=40_000)
    write_sensor(tmp_path / "hwmon2", "cpu_thermal", temp1_input=40_000)
    write_sensor(tmp_path / "hwmon3", "broken", power1_input="?")
    assert hwmon_watts(tmp_path) == pytest.approx({"ina226 PL": 1.25, "irps5401": 0.04})
    assert measured({"A": rail(power=2.0)}, tmp_path) == {"A": 2.0}
    assert list(measured({}, tmp_path)) == ["ina226 PL", "irps5401"]


def test_a_board_without_sensors(tmp_path):
    with pytest.raises(NoPowerSensor) as error:
        measured({"A": rail()}, tmp_path)
    assert str(error.value) == (
        f"this board measures no power: PYNQ knows no rails, and {tmp_path} has no power sensor"
    )


def test_power_through_the_driver(pynq, overlay):
    pynq.get_rails = lambda: {"INT": rail(power=1.5)}
    with QfxAccelerator(overlay) as accelerator:
        assert accelerator.watts() == {"INT": 1.5}
