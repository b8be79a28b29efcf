"""What the driver does with PYNQ, by a module that poses as it; and power."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from qfx_plugin.driver import (
    AcceleratorError,
    NoPowerSensor,
    QfxAccelerator,
    WrongBitstreamError,
    pynq_backend,
)
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
    def allocate(shape, dtype, target=None, cacheable=False):
        assert dtype == np.uint8 and cacheable  # uncached memory is slow to unpack
        buffer = board.allocate(*shape)
        array = buffer.data.view(Array)
        array.owner, array.device_address = buffer, buffer.address
        return array

    return allocate


class Pynq(ModuleType):
    """PYNQ 3.0 as far as the driver sees it, in front of the simulated board.

    It keeps the metadata of a path until `PL.reset`, has no device without XRT's variable, and sets
    the clock's dividers from the metadata that it has.
    """

    def __init__(self, description, board, monkeypatch):
        super().__init__("pynq")
        self.loaded, self.kept, self.downloads, self.failures = [], {}, 0, {}
        blocks = {
            description.accelerator_address: board.accelerator,
            description.dma_address: board.dma,
        }
        self.design = {
            "clock": description.clock_mhz,
            "ip_dict": {
                "dma": {
                    "phys_addr": description.dma_address,
                    "parameters": {"C_M_AXIS_MM2S_TDATA_WIDTH": "64", "c_sg_length_width": "26"},
                },
                "accelerator": {
                    "phys_addr": description.accelerator_address,
                    "parameters": {},
                    "type": f"xilinx.com:module_ref:{description.top}:1.0",
                },
            },
        }
        self.Clocks = SimpleNamespace(fclk0_mhz=100.0)
        self.PL = SimpleNamespace(reset=lambda: self._answer("PL.reset", self.kept.clear()))
        module = self

        class Overlay:
            def __init__(self, path):
                if os.environ.get("XILINX_XRT") is None:
                    raise RuntimeError("No Devices Found")
                assert Path(path).is_file() and Path(path).with_suffix(".hwh").is_file()
                module.loaded.append(path)
                design = module.kept.setdefault(Path(path).name, module.design)
                module.Clocks.fclk0_mhz = design["clock"]
                self.ip_dict = design["ip_dict"]
                module._answer("Overlay", None)

            def download(self):
                module._answer("download", None)

        def mmio(address, length):
            assert length == 0x10000
            return self._answer("MMIO", blocks[address])

        self.Overlay, self.MMIO = Overlay, mmio
        allocate = allocate_from(board)
        self.allocate = lambda **options: self._answer("allocate", allocate(**options))
        monkeypatch.setitem(sys.modules, "pynq", self)

    def _answer(self, name, value):
        if name in self.failures:
            raise self.failures[name]
        return value


@pytest.fixture
def pynq(case, board, monkeypatch):
    """A module `pynq` in front of the simulated board; `sudo` has dropped XRT's variable."""
    monkeypatch.setenv("XILINX_XRT", "")
    monkeypatch.delenv("XILINX_XRT")
    return Pynq(case.shell.description, board, monkeypatch)


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
    (path,) = map(Path, pynq.loaded)
    assert path.name == overlay.name and path.read_bytes() == overlay.read_bytes()
    assert board.buffers and all(buffer.freed for buffer in board.buffers)


def test_no_pynq(overlay, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(AcceleratorError) as error:
        QfxAccelerator(overlay)
    assert str(error.value) == "PYNQ is not installed: run this on the board, or give a backend"


def test_no_pynq_in_this_python(overlay, monkeypatch, tmp_path):
    """`sudo python3` is not the Python that has PYNQ: the message names that one."""
    python = tmp_path / "python3"
    python.write_text("")
    monkeypatch.setattr(pynq_backend, "VENV_PYTHON", python)
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(AcceleratorError) as error:
        QfxAccelerator(overlay)
    assert str(error.value) == (
        f"PYNQ is not installed for {sys.executable}: run this with {python}"
    )


def test_metadata_of_the_design_before_are_forgotten(pynq, overlay, case):
    """PYNQ keeps them for a path; another clock would be set, and widths would be others."""
    other = {**pynq.design, "clock": 50.0}
    pynq.kept[overlay.name] = other
    with QfxAccelerator(overlay) as accelerator:
        assert accelerator.clock_mhz == case.shell.description.clock_mhz


def test_each_content_has_a_path_of_its_own(pynq, overlay):
    """Also for programs that know nothing of `PL.reset`."""
    for content in (b"a", b"b", b"a"):
        overlay.write_bytes(content)
        QfxAccelerator(overlay).close()
        assert Path(pynq.loaded[-1]).read_bytes() == content
    first, second, third = pynq.loaded
    assert first == third != second


@pytest.mark.parametrize(
    ("block", "key", "value", "message"),
    [
        ("dma", "phys_addr", 0xB000_0000, "address of dma must be 2684354560, not 2952790016"),
        ("accelerator", "phys_addr", 1, "address of accelerator must be 2684420096, not 1"),
        ("dma", "parameters", {"C_M_AXIS_MM2S_TDATA_WIDTH": "32"},
         "c_m_axis_mm2s_tdata_width must be 64, not 32"),
        ("dma", "parameters", {"c_sg_length_width": 14}, "c_sg_length_width must be 26, not 14"),
        ("accelerator", "type", "qfx:hls:b_axi:1.0", "its accelerator is qfx:hls:b_axi:1.0"),
    ],
)  # fmt: skip
def test_metadata_of_another_design_are_told(block, key, value, message, pynq, overlay):
    pynq.design["ip_dict"][block][key] = value
    with pytest.raises(WrongBitstreamError) as error:
        QfxAccelerator(overlay)
    assert str(error.value) == (
        f"PYNQ's metadata of the overlay are not of model_axi: {message}: copy .bit, .hwh and "
        "accelerator.json of one build, and restart the board if they are"
    )


@pytest.mark.parametrize("tells", ["of another network", "nothing"])
def test_the_bitstream_s_own_id(tells, pynq, overlay, case):
    """Vivado writes BITSTREAM.CONFIG.USERID into its head; nothing else of it tells a network."""
    own = case.shell.description
    for digits in (own.network_id[:8], "ffffffff"):  # ours, and unset
        overlay.write_bytes(f"\0top;UserID=0X{digits.upper()};Version=2023.2\0".encode())
        QfxAccelerator(overlay).close()
    other = "0BADC0DE" if tells == "of another network" else ""
    overlay.write_bytes(f"\0top;UserID=0X{other};Version=2023.2\0".encode())
    if not other:
        QfxAccelerator(overlay).close()
        return
    with pytest.raises(WrongBitstreamError) as error:
        QfxAccelerator(overlay)
    assert str(error.value) == (
        f"{overlay.name} is of another network: '{own.network}' has an id that begins with "
        f"{own.network_id[:8]}, the bitstream has 0badc0de: copy .bit, .hwh and accelerator.json "
        "of one build"
    )
    assert len(pynq.loaded) == 2  # it was not even loaded


def test_a_clock_that_is_faster_than_built_for(pynq, overlay):
    pynq.design["clock"] = 150.0
    with pytest.raises(AcceleratorError) as error:
        QfxAccelerator(overlay)
    assert str(error.value) == (
        "the board clocks the logic with 150 MHz, and it is built for 100 MHz: set "
        "pynq.Clocks.fclk0_mhz, or build with another clock_mhz"
    )


def test_measured_with_the_clock_that_runs(pynq, overlay, case):
    pynq.design["clock"] = 93.75
    with pytest.warns(UserWarning, match="clocks the logic with 93.75 MHz, not 100 MHz"):
        accelerator = QfxAccelerator(overlay)
    with accelerator:
        measured = accelerator.measure(case.x, repeats=1)
    assert measured.clock_mhz == 93.75
    cycles = measured.figures.cycles / measured.figures.samples
    assert measured.samples_per_second == pytest.approx(93.75e6 / cycles)


@pytest.mark.parametrize(
    ("name", "what"),
    [("PL.reset", "cannot load the overlay"), ("Overlay", "cannot load the overlay"),
     ("MMIO", "cannot map registers"), ("allocate", "cannot allocate memory")],
)  # fmt: skip
def test_every_exception_of_pynq_is_one_of_ours(name, what, pynq, overlay, case):
    pynq.failures[name] = RuntimeError("No Devices Found\nand more")
    with pytest.raises(AcceleratorError) as error, QfxAccelerator(overlay) as accelerator:
        accelerator.run(case.x)
    assert str(error.value).startswith(f"PYNQ {what}: RuntimeError: No Devices Found")
    assert "\n" not in str(error.value)


def test_without_root_the_message_says_how(pynq, overlay, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    pynq.failures["Overlay"] = OSError("Root permissions required.")
    with pytest.raises(AcceleratorError, match="needs root in a login shell: sudo bash -lc"):
        QfxAccelerator(overlay)


def test_a_sensor_that_fails_leaves_the_accelerator_free(pynq, overlay, case):
    def broken():
        raise OSError("remote I/O error")

    with QfxAccelerator(overlay) as accelerator:
        pynq.get_rails = broken
        with pytest.raises(AcceleratorError, match="PYNQ cannot read its sensors: OSError: remote"):
            accelerator.measure(case.x)
        np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)


def test_memory_of_a_device_without_the_choice_to_cache(pynq, overlay, case):
    allocate = pynq.allocate
    pynq.allocate = lambda shape, dtype: allocate(shape=shape, dtype=dtype, cacheable=True)
    with QfxAccelerator(overlay) as accelerator:
        np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)


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
