"""The driver of target hls4ml: control registers of Vitis HLS, channels last, codes or floats."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import FixedPointCast, FixedPointFormat
from qfx_plugin.driver import (
    AcceleratorError,
    AcceleratorTimeoutError,
    Description,
    DescriptionError,
    InputTensor,
    Layout,
    OutputTensor,
    QfxAccelerator,
    WrongBitstreamError,
)
from qfx_plugin.driver import registers as reg
from qfx_plugin.driver.errors import DataError
from qfx_plugin.shell.simulated_hls import HlsFunction, SimulatedHls

SHAPE = (2, 3)
SIZE = 6
CAST = FixedPointCast.parse("ap_fixed<8,4,AP_RND_CONV,AP_SAT>")
RESULT = FixedPointFormat.parse("ap_fixed<16,8>")
"""A network of twice as many fractional bits, so that nothing is rounded."""


def describe(bus_bits: int = 32, is_float: bool = False) -> Description:
    last = tuple(int(i) for i in np.moveaxis(np.arange(SIZE).reshape(SHAPE), 0, -1).ravel())
    first = tuple(int(i) for i in np.argsort(last))
    bits = [32, 32] if is_float else [8, 16]
    return Description(
        top="net_axi",
        network="net",
        network_id="0" * 32,
        board="simulation",
        clock_mhz=100.0,
        inputs=(InputTensor("x", SHAPE, (CAST,), (), SHAPE, first),),
        outputs=(OutputTensor("y", SHAPE, (RESULT,), first),),
        channels_last=False,
        input_layout=Layout(1, SIZE, bits[0], True, bus_bits, is_float),
        output_layout=Layout(1, SIZE, bits[1], True, bus_bits, is_float),
        interval=0,
        accelerator_address=0xA001_0000,
        dma_address=0xA000_0000,
        dma_length_bits=26,
        control="hls",
    )


class Function:
    """y[i] = 3 x[i] + place i, channels last: what C++ would compute, in place of the library."""

    def __init__(self, description: Description) -> None:
        self.x, self.y = description.input_layout, description.output_layout
        self.calls: list[int] = []
        self.answer = 0

    def hls_input_bytes(self) -> int:
        return self.x.sample_bytes

    def hls_run(self, source, sink, room, samples) -> int:
        count = samples.value
        self.calls.append(count)
        if self.answer:
            return self.answer
        given = np.frombuffer(ctypes.string_at(source, count * self.x.sample_bytes), np.uint8)
        x = self.x.unpack(given, count)
        lsb = 2.0**-8 if self.x.is_float else 1
        y = (3 if self.x.is_float else 16 * 3) * x + np.arange(SIZE) * lsb
        out = np.zeros(count * self.y.sample_bytes, np.uint8)
        self.y.pack(y, out)
        ctypes.memmove(sink, out.ctypes.data, min(out.size, room.value))
        return out.size if out.size <= room.value else -3


class Board(SimulatedHls):
    """The board of a function in Python."""

    def __init__(self, description: Description) -> None:
        self.function = Function(description)
        super().__init__(self.function, description)


@pytest.fixture(params=["codes", "floats", "codes, wide beats"])
def description(request) -> Description:
    return describe(128 if "wide" in request.param else 32, request.param == "floats")


@pytest.fixture
def board(description) -> Board:
    return Board(description)


@pytest.fixture
def accelerator(board, description) -> QfxAccelerator:
    return QfxAccelerator(board, description, transfer_samples=4, timeout=0.2)


def expected(x: np.ndarray) -> np.ndarray:
    """Codes of y for codes of x."""
    place = np.moveaxis(np.arange(SIZE).reshape(SHAPE[::-1]), -1, 0)
    return 16 * 3 * x + place


def test_values_and_codes(accelerator, board, rng):
    codes = rng.integers(-128, 128, (11, *SHAPE))
    values = codes / 16 + rng.uniform(-0.02, 0.02, codes.shape)
    if accelerator.description.input_layout.is_float:
        values = codes / 16  # the cast is in the logic, which this function has none of
    before = values.copy()
    np.testing.assert_array_equal(accelerator.run(values, codes=True), expected(codes))
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(accelerator.run(values), expected(codes) / 256)
    np.testing.assert_array_equal(accelerator.run_codes(codes), expected(codes))
    assert board.function.calls == [4, 4, 3] * 3
    assert accelerator.run_codes(codes[:0]).shape == (0, *SHAPE)


def test_the_description_survives_its_file(description, tmp_path):
    (tmp_path / "a.json").write_text(description.to_json())
    assert Description.load(tmp_path / "a.json") == description


def test_what_is_not_counted_is_not_told(accelerator):
    measured = accelerator.measure(np.zeros((8, *SHAPE)), repeats=2)
    assert np.isnan([measured.samples_per_second, measured.latency_seconds]).all()
    assert measured.host_samples_per_second > 0
    lines = str(measured).splitlines()
    assert lines[0] == "16 samples in 4 transfers"
    assert lines[1].endswith(
        "samples/s by the processor's clock; this accelerator counts no cycles"
    )
    assert lines[2] == "power: a simulation measures no power"


def test_one_that_hangs_is_loaded_again(accelerator, board):
    """The DMA sends too little: nothing but a new bitstream helps."""
    send = board.accelerator.send
    board.accelerator.send = lambda data: send(data[:-4])
    with pytest.raises(AcceleratorTimeoutError) as error:
        accelerator.run_codes(np.zeros((4, *SHAPE), int))
    text = str(error.value)
    assert text.startswith("the run did not end in 0.2 s: the call with 4 samples has not returned")
    assert "(status 0x1, DMA 0x" in text
    assert board.reloads == 1
    board.accelerator.send = send
    codes = np.ones((4, *SHAPE), int)
    np.testing.assert_array_equal(accelerator.run_codes(codes), expected(codes))
    assert board.reloads == 1


def test_one_that_stays_busy_is_told(accelerator, board, monkeypatch):
    monkeypatch.setattr(HlsFunction, "restart", lambda self: None)
    board.accelerator.write(reg.HLS_SAMPLES, 1)
    board.accelerator.write(reg.HLS_CONTROL, reg.HLS_START)
    with pytest.raises(AcceleratorTimeoutError, match="not idle after its bitstream was loaded"):
        accelerator.reset()


def test_more_results_than_there_should_be(accelerator, board):
    board.function.answer = -3
    with pytest.raises(AcceleratorError, match="a packet is longer than its buffer"):
        accelerator.run_codes(np.zeros((1, *SHAPE), int))


@pytest.mark.parametrize(("offset", "word"), [(reg.HLS_CONTROL, reg.MAGIC), (reg.HLS_SAMPLES, 0)])
def test_other_logic_at_the_address(board, description, offset, word):
    read = board.accelerator.read
    board.accelerator.read = lambda at: word if at == offset else read(at)
    with pytest.raises(WrongBitstreamError, match="no accelerator of Vitis HLS at 0xa0010000: its"):
        QfxAccelerator(board, description)


def test_codes_that_no_float_holds():
    wide = FixedPointCast.parse("ap_fixed<25,4,AP_RND_CONV,AP_SAT>")
    made = describe(is_float=True)
    made = replace(made, inputs=(replace(made.inputs[0], cast=(wide,)),))
    accelerator = QfxAccelerator(Board(made), made)
    with pytest.raises(DataError, match="codes of x must have at most 24 bits where floats travel"):
        accelerator.run_codes(np.zeros((1, *SHAPE), int))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control": "uart"}, "control must be shell or hls, not 'uart'"),
        ({"input_layout": Layout(1, SIZE, 16, True, 32, True)},
         "input_layout: bits of floats must be 32, not 16"),
    ],
)  # fmt: skip
def test_descriptions_that_are_refused(change, message, tmp_path):
    (tmp_path / "a.json").write_text(replace(describe(), **change).to_json())
    with pytest.raises(DescriptionError) as error:
        Description.load(tmp_path / "a.json")
    assert str(error.value).endswith(message)


def test_the_settings_of_finn_s_driver_are_refused(tmp_path):
    (tmp_path / "settings.json").write_text('{"driver_information": {}}')
    with pytest.raises(DescriptionError, match="is of a FINN accelerator, which this driver does"):
        Description.load(tmp_path / "settings.json")
