"""Clocks that a PLL makes of a board's oscillator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qfx_plugin.boards import list_boards, load_board
from qfx_plugin.boards.board import OPEN
from qfx_plugin.errors import OptionError
from qfx_plugin.shell.pll import KINDS, nearest, pll_text

BOARDS = [board for board in list_boards() if board.family in OPEN]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
@pytest.mark.parametrize("mhz", [48.0, 100.0, 126.4, 200.0])
def test_settings_are_within_the_device_s_bounds(board, mhz):
    pll = nearest(board, mhz)
    assert pll is not None and abs(pll.mhz - mhz) < 0.1 * mhz
    kind, inside = KINDS[board.family], pll.mhz * pll.post
    assert kind.inner_mhz[0] <= inside <= kind.inner_mhz[1] and pll.post in kind.posts
    assert kind.compare_mhz[0] <= board.clock.reference_mhz / pll.divide <= kind.compare_mhz[1]
    assert 1 <= pll.divide <= kind.most and 1 <= pll.multiply <= kind.most
    assert pll.mhz == board.clock.reference_mhz * pll.multiply / pll.divide


def test_known_settings():
    """Those that `ecppll -i 25 -o 100` and Gowin's rPLL for 27 to 54 MHz have."""
    pll = nearest(load_board("ulx3s"), 100.0)
    assert (pll.divide, pll.multiply) == (1, 4) and 400 <= 100 * pll.post <= 800
    assert "CLKI_DIV(1)" in pll_text(pll, "85k") and "CLKFB_DIV(4)" in pll_text(pll, "85k")
    pll = nearest(load_board("tang-nano-20k"), 54.0)
    text = pll_text(pll, "GW2A-18C")
    assert (pll.divide, pll.multiply, pll.post) == (1, 2, 16)
    assert '.DEVICE("GW2A-18C")' in text and ".FBDIV_SEL(1)" in text and ".IDIV_SEL(0)" in text


def test_the_oscillator_itself_needs_none():
    assert all(nearest(board, board.clock.reference_mhz) is None for board in BOARDS)


def test_an_oscillator_that_no_pll_takes():
    board = load_board("ulx3s")
    slow = replace(board, clock=replace(board.clock, reference_mhz=1.0))
    with pytest.raises(OptionError) as error:
        nearest(slow, 50.0)
    assert str(error.value) == (
        "clock_mhz of board ulx3s-85f: its oscillator of 1 MHz does not drive a EHXPLLL; ask for 1"
    )
