"""Stream modules keep AXI-Stream's rules in every cycle; broken ones do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qfx_plugin.proofs.solver import decide
from qfx_plugin.proofs.streams import STREAMS, prove_stream, stream_statement

BROKEN = {
    "qfx_fifo": ("count != CW'(DEPTH)", "1'b1"),  # words are lost
    "qfx_flow": ("claimed != CW'(DEPTH)", "1'b1"),  # likewise
    "qfx_pack": ("!m_tvalid || m_tready", "1'b1"),  # data change while they wait
    "qfx_stream_duplicate": ("out_valid & ~out_ready", "out_valid"),  # a beat comes twice
}
"""A piece of each module's text, and what it is changed to."""


@pytest.mark.parametrize("name", STREAMS)
def test_the_rules_are_kept(name):
    assert prove_stream(STREAMS[name]).status == "proven"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_copy_is_refuted(name):
    statement = stream_statement(STREAMS[name])
    text, change = statement.sources[f"{name}.sv"], BROKEN[name]
    assert change[0] in text
    sources = {**statement.sources, f"{name}.sv": text.replace(*change)}
    verdict = decide(replace(statement, sources=sources))
    assert verdict.status == "refuted"
    assert verdict.reason.startswith("in cycle ")


def test_standing_still_is_refuted():
    """A pipeline of two registers and a FIFO cannot give a beat in the cycle after it came."""
    assert prove_stream(replace(STREAMS["qfx_flow"], patience=1)).status == "refuted"
