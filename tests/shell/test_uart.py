"""A board at a serial port: every bit on the wire, and what a line does to bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from qfx_plugin import RtlOptions, interpret, load_qonnx
from qfx_plugin.driver.errors import AcceleratorError, NoPowerSensor, WrongBitstreamError
from qfx_plugin.errors import DataError, OptionError, ToolMissingError
from qfx_plugin.rtl.project import build_network
from qfx_plugin.shell.serial_board import checksum, frame, open_serial
from qfx_plugin.shell.simulated_serial import SimulatedSerial
from qfx_plugin.shell.uart_top import uart_top
from qfx_plugin.shell.wrap import wrap
from qfx_plugin.tools import verilator
from tests.shell.through import through

CLOCKS = 4
NETWORK = through((3, 2, 2), 6)
SHELL = wrap(NETWORK, bus_bits=32)
FAST = {"clock_mhz": 4, "baud": 1_000_000, "gap_s": 0.001}
TOP = uart_top(SHELL, **FAST)


@pytest.fixture
def port() -> Iterator[SimulatedSerial]:
    line = SimulatedSerial(NETWORK, TOP, CLOCKS, seed=1)
    yield line
    line.close()


def images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(-40, 40, (count, 3, 2, 2)).astype(float)


def check(accelerator, count: int) -> None:
    x = images(count)
    np.testing.assert_array_equal(accelerator.run(x), np.clip(x, -32, 31))


def test_the_driver_runs_it(port):
    with open_serial(port, SHELL.description, baud=1_000_000) as accelerator:
        check(accelerator, 50)  # several frames each way
        check(accelerator, 1)
        assert accelerator.start(images(2)).wait().shape == (2, 3, 2, 2)
        with pytest.raises(NoPowerSensor, match="a board at a serial port measures no power"):
            accelerator.watts()


def test_pauses_and_garbage_between_frames_do_nothing(port):
    rng = np.random.default_rng(0)

    def slow(data: bytes) -> list[int]:
        """Bytes that begin no frame, then the frame with pauses shorter than what ends it."""
        noise = [byte for byte in rng.integers(0, 256, 5).tolist() if byte != 0x51]
        pauses = rng.integers(1, 600, len(data)).tolist()
        return noise + [
            item for byte, gap in zip(data, pauses, strict=True) for item in (-gap, byte)
        ]

    port.spoil = slow
    with open_serial(port, SHELL.description, baud=1_000_000) as accelerator:
        check(accelerator, 12)


def lost(data: bytes) -> list[int]:
    return list(data[:-9] + data[-8:])


def changed(data: bytes) -> list[int]:
    return [*data[:-3], data[-3] ^ 4, *data[-2:]]


def silent(data: bytes) -> list[int]:
    return []


def begins_one_too_many(data: bytes) -> list[int]:
    return [0x51, *data]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lost, "a frame broke off: a byte was lost, or came too late; the next run begins anew"),
        (changed, "a frame came in damaged: its checksum is wrong; the next run begins anew"),
        (silent, r"0 of 4 bytes of an answer came: a byte was lost, or port, baud rate or"),
        (begins_one_too_many, "a frame (broke off|came in damaged)"),
    ],
)
def test_what_is_lost_or_changed_is_an_error_once(port, spoil, message):
    with open_serial(port, SHELL.description, baud=1_000_000) as accelerator:
        check(accelerator, 2)

        def once(data: bytes) -> list[int]:
            if data[1] & 0x0F != 3:
                return list(data)
            port.spoil = list
            return spoil(data)

        port.spoil = once
        with pytest.raises(AcceleratorError, match=f"^serial port: .*{message}"):
            accelerator.run(images(4))
        check(accelerator, 6)


def test_a_damaged_answer(port, monkeypatch):
    with open_serial(port, SHELL.description, baud=1_000_000) as accelerator:
        monkeypatch.setattr(port, "read", lambda size: b"R" * size)
        with pytest.raises(AcceleratorError, match="an answer came in damaged: its checksum"):
            accelerator.run(images(1))
        monkeypatch.undo()
        check(accelerator, 3)


def test_frames_that_make_no_sense(port):
    for op, payload in ((0x09, b""), (0x03, b"abc"), (0x04, b"\xff"), (0x01, b"\0\0\0")):
        port.write(frame(0x51, op, 7, payload))
        assert port.read(7) == frame(0x52, 0xEE, 7, b"\3")


def test_another_network(port):
    other = wrap(through((3, 2, 2), 6, 1), bus_bits=32).description
    with pytest.raises(WrongBitstreamError, match="the bitstream on the board is of another"):
        open_serial(port, other)


def test_the_checksum_is_the_one_that_others_have():
    assert checksum(b"123456789") == 0x29B1


def test_the_sources_have_no_warnings(tmp_path):
    paths = []
    for name, text in {**NETWORK.files, **uart_top(SHELL, **FAST, reset="low").files}.items():
        paths.append(tmp_path / name)
        paths[-1].write_text(text)
    verilator.lint(paths, "through_uart")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baud": 9_000_000}, "^baud must be at most 6,250,000 with a clock of 25 MHz, not 9,0"),
        ({"baud": 0}, "^baud must be at most"),
        ({"baud": 4_500_000}, r"^baud 4,500,000 is 7.4 % off what a clock of 25 MHz can give"),
        ({"reset": "up"}, "^reset must be 'high', 'low' or '', not 'up'$"),
    ],
)  # fmt: skip
def test_refusals(options, message):
    with pytest.raises(OptionError, match=message):
        uart_top(SHELL, clock_mhz=25, **options)


def test_without_pyserial_or_without_a_port(monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(ToolMissingError, match=r"pip install 'qfx-plugin\[serial\]'$"):
        open_serial("/dev/ttyNONE", SHELL.description)

    class Library:
        @staticmethod
        def Serial(name, baud, timeout):  # noqa: N802 - as pyserial calls it
            raise OSError("no such file")

    monkeypatch.setitem(sys.modules, "serial", Library)
    with pytest.raises(DataError, match=r"^serial port '/dev/ttyNONE' cannot be opened: no such"):
        open_serial("/dev/ttyNONE", SHELL.description)


@pytest.mark.slow
def test_a_thousand_digits(tmp_path, torch_seed):
    """A trained network of whole samples; each of the codes is the interpreter's."""
    import torch

    from brevitas_quantizers import export_qonnx
    from qfx_plugin.demo.data import load_dataset
    from qfx_plugin.demo.models import Recipe
    from qfx_plugin.demo.models import build as make
    from qfx_plugin.demo.train import train

    data = load_dataset("digits")
    x = data.x_train.reshape(len(data.x_train), -1)
    model = make("mlp", Recipe("4-bit", 4), data.image_shape, data.classes)
    train(model, x, data.y_train, 3, seed=torch_seed)
    export_qonnx(model, torch.from_numpy(x[:1]), tmp_path / "m.onnx")
    graph = load_qonnx(tmp_path / "m.onnx")
    network = build_network(graph, RtlOptions(style="streaming"))
    shell = wrap(network, bus_bits=32)
    line = SimulatedSerial(network, uart_top(shell, **FAST), CLOCKS, seed=torch_seed)
    x = x[:1000]
    (expected,) = interpret(graph, x).values()
    assert len(x) == 1000
    with open_serial(line, shell.description, baud=1_000_000, timeout=3600) as accelerator:
        codes = accelerator.run(x, codes=True)
    np.testing.assert_array_equal(codes, expected.codes)
