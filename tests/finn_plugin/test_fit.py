"""Folding for a frame rate, and whether that fits a board."""

from __future__ import annotations

import pytest

from qfx_plugin.boards import load_board
from qfx_plugin.finn_plugin import convert
from qfx_plugin.finn_plugin.fit import fit
from qfx_plugin.finn_plugin.hardware.convert import specialise, to_hardware
from qfx_plugin.finn_plugin.hardware.folding import units
from qfx_plugin.finn_plugin.hardware.stock import fifo_rams
from qfx_plugin.finn_plugin.ops.unit import divisors
from qfx_plugin.units.terms import block_rams
from tests import qonnx_models
from tests.finn_plugin.helpers import PART

CLOCK = 200.0


@pytest.fixture(scope="module")
def model():
    return specialise(to_hardware(convert(qonnx_models.cnn()).model), PART)


@pytest.fixture
def board():
    return load_board("ultra96-v2").resources.counts()


@pytest.mark.parametrize("fps", [1000, 100_000])
def test_every_unit_is_fast_enough_and_the_design_fits(model, board, fps):
    found = fit(model, fps, CLOCK, board)
    assert all(op.get_exp_cycles() <= CLOCK * 1e6 / fps for op in units(found.model))
    assert found.fps >= fps
    assert not found.reasons
    assert found.summary.startswith(f"{fps} frames/s fit: ")


def test_more_frames_cost_more(model, board):
    slow, fast = (fit(model, fps, CLOCK, board).used["lut"] for fps in (1000, 200_000))
    assert fast > 1.1 * slow


def test_too_many_frames_say_which_unit_is_too_slow(model, board):
    found = fit(model, 3_000_000, CLOCK, board)
    assert any("cycles for a frame at its widest, 66 are there" in line for line in found.reasons)


def test_too_small_a_board_says_what_is_missing(model, board):
    found = fit(model, 1000, CLOCK, {**board, "lut": 100, "dsp": 0})
    (line,) = [line for line in found.reasons if "lut" in line]
    assert "lut are needed, 100 are there, 10% of them kept for FIFOs" in line
    assert found.summary.startswith("1000 frames/s do not fit: ")


def test_slices_multiply_where_luts_are_short(model, board):
    plenty = fit(model, 100_000, CLOCK, board)
    short = fit(model, 100_000, CLOCK, {**board, "lut": plenty.used["lut"] * 1.1})
    assert plenty.used["dsp"] == 0
    assert 0 < short.used["dsp"] <= board["dsp"]
    assert short.used["lut"] < plenty.used["lut"]


@pytest.mark.parametrize(
    ("width", "depth", "halves"),
    [(48, 4608, 12), (32, 2048, 4), (48, 600, 3), (8, 2048, 1), (64, 1152, 6), (30, 3000, 5)],
)
def test_block_rams_are_those_that_yosys_takes(width, depth, halves):
    assert block_rams(width, depth)[0] == halves


def test_fifo_rams():
    assert [fifo_rams(8, 500), fifo_rams(32, 600), fifo_rams(64, 1100)] == [1, 2, 6]


def test_divisors():
    assert divisors(12) == [1, 2, 3, 4, 6, 12]
