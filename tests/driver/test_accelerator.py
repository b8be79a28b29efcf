"""The driver against the simulated shell: codes, asynchronous runs, and every way to fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from qfx_plugin.driver import (
    AcceleratorError,
    AcceleratorTimeoutError,
    NoPowerSensor,
    QfxAccelerator,
    WrongBitstreamError,
)
from qfx_plugin.driver import registers as reg
from qfx_plugin.errors import OptionError, QfxError, VerificationError


def test_values_and_codes_are_the_interpreters(case, accelerator):
    """Five transfers, the last of another size, all with pauses."""
    np.testing.assert_array_equal(accelerator(case.x), case.expected.values)
    np.testing.assert_array_equal(accelerator.run(case.x, codes=True), case.expected.codes)


def test_codes_in_codes_out(case, accelerator):
    cast = case.shell.description.inputs[0].cast[0]
    given = cast.format.to_codes(case.x, cast.rounding, cast.overflow)
    np.testing.assert_array_equal(accelerator.run_codes(given), case.expected.codes)


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 33])
def test_any_number_of_samples(case, accelerator, samples):
    found = accelerator.run(case.x[:samples], codes=True)
    np.testing.assert_array_equal(found, case.expected.codes[:samples])


def test_no_sample_is_no_transfer(case, accelerator, board):
    begin = board.engine.cycle
    assert accelerator.run(case.x[:0]).shape == (0, 3)
    assert board.engine.cycle == begin


def test_a_run_goes_on_while_other_work_is_done(case, accelerator):
    run = accelerator.start(case.x)
    asked = 0
    while not run.done():
        asked += 1
    assert asked >= 4  # one for each transfer but the last, at least
    np.testing.assert_array_equal(run.wait(), case.expected.values)
    np.testing.assert_array_equal(run.wait(), case.expected.values)
    assert run.figures.samples == 70 and run.figures.transfers == 5


def test_one_run_at_a_time(case, accelerator):
    run = accelerator.start(case.x)
    with pytest.raises(AcceleratorError) as error:
        accelerator.run(case.x)
    assert str(error.value) == ("a run is under way: wait for it before the next one starts")
    run.wait()
    accelerator.run(case.x)


def test_a_reset_loses_the_run_that_is_under_way(case, accelerator):
    run = accelerator.start(case.x)
    accelerator.reset()
    with pytest.raises(AcceleratorError) as error:
        run.wait()
    assert str(error.value) == "the accelerator was reset during this run"
    np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupted_wait_gives_the_run_up(case, accelerator, monkeypatch):
    kept = []
    for where in ("qfx_plugin.driver.run.time.sleep", None):
        run = accelerator.start(case.x)
        kept.append(run)  # as a traceback in a notebook does
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            if where:
                patch.setattr("qfx_plugin.driver.run.BUSY_SECONDS", -1)
                patch.setattr(where, interrupt)
            else:  # inside a question to the hardware
                patch.setattr(type(accelerator._control), "finished", interrupt)
            run.wait()
        with pytest.raises(AcceleratorError, match="^the run was interrupted$"):
            run.wait()
        np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)


@pytest.mark.parametrize("call", ["run", "measure", "run_codes"])
def test_after_an_interrupted_call_the_next_one_works(call, case, accelerator, monkeypatch):
    cast = case.shell.description.inputs[0].cast[0]
    codes = cast.format.to_codes(case.x, cast.rounding, cast.overflow)
    with monkeypatch.context() as patch:
        patch.setattr("qfx_plugin.driver.run.BUSY_SECONDS", -1)
        patch.setattr("qfx_plugin.driver.run.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:  # which holds every frame
            getattr(accelerator, call)(codes if call == "run_codes" else case.x)
    np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)
    assert caught is not None


def test_a_run_that_nobody_holds_is_given_up(case, accelerator):
    accelerator.start(case.x)
    np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)
    accelerator.start(case.x)
    accelerator.close()


def test_a_reset_that_fails_is_tried_again(case, accelerator, monkeypatch):
    def stuck(*_):
        raise AcceleratorTimeoutError("does not come out of reset")

    run = accelerator.start(case.x)
    with monkeypatch.context() as patch:
        patch.setattr(accelerator._sender, "reset", stuck)
        patch.setattr(type(accelerator._control), "finished", interrupt)
        with pytest.raises(KeyboardInterrupt):  # and not what follows from it
            run.wait()
        with pytest.raises(AcceleratorTimeoutError, match="does not come out of reset"):
            accelerator.run(case.x)
    np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)


def test_threads_take_turns(case, accelerator):
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(accelerator.run, case.x[:40], codes=True) for _ in range(6)]
        for call in calls:
            np.testing.assert_array_equal(call.result(), case.expected.codes[:40])


def test_threads_that_wait_for_the_same_run(case, accelerator):
    run = accelerator.start(case.x)
    with ThreadPoolExecutor(3) as pool:
        for call in [pool.submit(run.wait) for _ in range(3)]:
            np.testing.assert_array_equal(call.result(), case.expected.values)


def test_another_thread_may_reset(case, accelerator, monkeypatch):
    monkeypatch.setattr(type(accelerator._control), "finished", lambda *_: False)
    run = accelerator.start(case.x)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.wait)
        accelerator.reset()
        with pytest.raises(AcceleratorError, match="^the accelerator was reset during this run$"):
            waiting.result(20)
    monkeypatch.undo()
    np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)


def test_figures(case, make):
    """Without pauses a sample takes a beat in and a beat out: one cycle each, and the latency."""
    with make(case.board(pauses=0.0)) as accelerator:
        measured = accelerator.measure(case.x, repeats=2)
    figures = measured.figures
    assert (figures.samples, figures.transfers) == (140, 2)
    assert figures.latency_cycles <= case.network.latency + 8
    assert 140 <= figures.cycles <= 140 + 2 * figures.latency_cycles
    assert measured.samples_per_second == pytest.approx(1e8 * 140 / figures.cycles)
    assert measured.latency_seconds == pytest.approx(figures.latency_cycles * 1e-8)
    assert measured.host_samples_per_second > 0
    assert measured.watts == {} and measured.power_note == "a simulation measures no power"
    lines = str(measured).splitlines()
    assert lines[0] == "140 samples in 2 transfers"
    assert lines[-1] == "power: a simulation measures no power"


def test_power_is_the_mean_of_all_runs(case, make):
    board, seen = case.board(), iter((1.0, 2.0))
    board.watts = lambda: {"VCCINT": next(seen)}
    measured = make(board).measure(case.x, repeats=2)
    assert measured.watts == {"VCCINT": 1.5}
    assert str(measured).endswith("power: VCCINT 1.500 W")


def test_no_power(accelerator):
    with pytest.raises(NoPowerSensor, match="a simulation measures no power"):
        accelerator.watts()


def test_waits_are_counted(case, accelerator):
    run = accelerator.start(case.x)
    run.wait()
    assert run.figures.input_waits > 0 and run.figures.output_stalls > 0


def test_another_network_on_the_board(case):
    other = replace(case.shell.description, network_id="f" * 32, network="other")
    with pytest.raises(WrongBitstreamError) as error:
        QfxAccelerator(case.board(), other)
    assert str(error.value) == (
        f"the bitstream on the board is of another network: 'other' has the id {'f' * 32}, "
        f"the board has {case.shell.description.network_id}"
    )


class Changed:
    """Registers of which one reads differently."""

    def __init__(self, registers, offset, value):
        self._registers, self._offset, self._value = registers, offset, value

    def read(self, offset):
        return self._value if offset == self._offset else self._registers.read(offset)

    def write(self, offset, value):
        self._registers.write(offset, value)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (reg.ID, 0xDEADBEEF, "there is no QFX accelerator at 0xa0010000: its first register is "
         "0xdeadbeef, not 0x31584651"),
        (reg.SHELL_VERSION, 0x0002_0000, "the shell on the board must have version 1, not 2"),
    ],
)  # fmt: skip
def test_other_hardware(case, board, offset, value, message):
    board.accelerator = Changed(board.accelerator, offset, value)
    with pytest.raises(WrongBitstreamError) as error:
        case.accelerator(board)
    assert str(error.value) == message


def test_a_dma_that_does_not_come_out_of_reset(case, board):
    board.dma = Changed(board.dma, reg.DMACR, reg.RESET)
    with pytest.raises(AcceleratorTimeoutError, match="does not come out of reset"):
        case.accelerator(board)


def test_a_run_that_gets_stuck_is_told_and_the_next_one_works(case, board, make):
    """The DMA loses the second half of the samples; the driver resets and goes on."""
    accelerator = make(board, timeout=0.05)
    send = board.engine.send
    board.engine.send = lambda data: send(data[: data.size // 2])
    with pytest.raises(AcceleratorTimeoutError) as error:
        accelerator.run(case.x)
    text = str(error.value)
    assert text.startswith("the run did not end in 0.05 s: 35 of 70 samples went in, 35 came out;")
    assert "the DMA sent another number of bytes than the samples have (status 0x5, DMA 0x" in text
    assert isinstance(error.value, QfxError) and "\n" not in text
    board.engine.send = send
    np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)


def test_a_failed_run_stays_failed(case, board, make):
    accelerator = make(board, timeout=0.0)
    board.engine.send = lambda data: None
    run = accelerator.start(case.x)
    for _ in range(2):
        with pytest.raises(AcceleratorTimeoutError, match="0 of 70 samples went in"):
            run.wait()


def test_memory_that_is_not_there(case, accelerator, board):
    accelerator.run(case.x[:1])
    for buffer in board.buffers:
        buffer.free()
    with pytest.raises(AcceleratorError) as error:
        accelerator.run(case.x[:1])
    assert str(error.value) == (
        "DMA from the accelerator: decode error: there is no memory at the address "
        "(status 0x00000041)"
    )


def test_a_result_that_is_too_long_or_too_short(case, accelerator, board):
    receive = board.engine.receive
    board.engine.receive = lambda data: receive(data[:-8])
    with pytest.raises(AcceleratorError, match="internal error: a packet is longer than its buf"):
        accelerator.run(case.x)
    board.engine.receive = receive
    board.accelerator.write, write = _fewer_frames(board), board.accelerator.write
    with pytest.raises(AcceleratorError, match="the accelerator sent 120 of 128 bytes"):
        accelerator.run(case.x[:16])
    board.accelerator.write = write
    np.testing.assert_array_equal(accelerator.run(case.x), case.expected.values)


def _fewer_frames(board):
    write = board.accelerator.write
    return lambda offset, value: write(offset, value - 1 if offset == reg.FRAMES else value)


def test_closed(case, board, make):
    with make(board) as accelerator:
        accelerator.run(case.x)
    with pytest.raises(AcceleratorError) as error:
        accelerator.run(case.x)
    assert str(error.value) == "the accelerator is closed"
    assert all(buffer.freed for buffer in board.buffers)
    accelerator.close()
    with pytest.raises(OptionError, match="board must be open, not closed"):
        board.accelerator.read(reg.ID)


def test_closed_during_a_run(case, accelerator):
    run = accelerator.start(case.x)
    accelerator.close()
    with pytest.raises(AcceleratorError) as error:
        run.wait()
    assert str(error.value) == "the accelerator was closed during this run"


def test_options_are_checked(case, make):
    with pytest.raises(AcceleratorError, match="transfer_samples must be 1 to 8388607, not 0"):
        make(transfer_samples=0)
    small = replace(case.shell.description, dma_length_bits=3)
    with pytest.raises(AcceleratorError, match="a sample must fit into a transfer of 7 bytes"):
        QfxAccelerator(case.board(), small)
    with pytest.raises(AcceleratorError, match="description must be given with a backend"):
        QfxAccelerator(case.board())
    with pytest.raises(OptionError, match=r"pauses must be at least 0 and below 1, not 1"):
        case.board(pauses=1)
    with pytest.raises(AcceleratorError, match="measure needs a sample and a repeat, not 0 and 3"):
        make().measure(case.x[:0])


@pytest.mark.slow
def test_the_stand_in_finds_a_shell_that_breaks_the_protocol(case, tmp_path):
    """The checks of the simulation can fail: a shell that withdraws what it offers."""
    files = dict(case.shell.files)
    broken = files["qfx_shell_run.sv"].replace(
        "assign m_tvalid   = out_tvalid && running;",
        "assign m_tvalid   = out_tvalid && running && cycles[0];",
    )
    assert broken != files["qfx_shell_run.sv"]
    shell = replace(case.shell, files=files | {"qfx_shell_run.sv": broken})
    with pytest.raises(VerificationError, match="m_axis changes what it offers, or withdraws it"):
        replace(case, shell=shell).accelerator().run(case.x)
