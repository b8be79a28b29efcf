"""A mode added to an enumeration alone makes every consumer fail by its name; none computes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from brevitas_quantizers.autograd import fixed_point_cast
from brevitas_quantizers.autograd.modes import range_limits, round_codes_
from brevitas_quantizers.fixed_point import (
    FixedPointFormat,
    OverflowMode,
    RoundingMode,
    cast_code,
    modes,
    overflow_name,
    requantize,
    round_to_integer,
    rounding_name,
    to_codes,
    wrap_or_saturate,
)
from brevitas_quantizers.onnx_files.exact_nodes import NodeChain, append_cast
from qfx_plugin.ir import Graph, Input, Quantize, interpret
from qfx_plugin.rtl.graph.casts import bring_into_range, round_to
from qfx_plugin.units.modes import overflow_number, rounding_number

FMT = FixedPointFormat(4, 4)
TRN, SAT = RoundingMode.AP_TRN, OverflowMode.AP_SAT
R = np.array([-99.5, -1.5, -0.5, 0.5, 1.5, 99.5])


class Symbol:
    """What the adder-graph compiler traces, as far as a cast looks at it before it dispatches."""

    step, low, high, kif = 0.5, -99.5, 99.5, (1, 7, 1)

    def quantize(self, *_):
        return self

    def __add__(self, _):
        return self


def torch_cast(rounding=TRN, overflow=SAT):
    return fixed_point_cast(torch.tensor(R), torch.zeros(()).double(), 4, True, rounding, overflow)


def nodes(rounding=TRN, overflow=SAT):
    append_cast(NodeChain("x", "p"), np.float32(1), 4, True, rounding, overflow)


def graph(rounding=TRN, overflow=SAT):
    cast = Quantize("q", ("x",), "q", 4, 0, True, rounding, overflow)
    return interpret(Graph((Input("x", (), "x", (6,)), cast), ("q",)), R[np.newaxis])


ROUNDING_CONSUMERS = {
    "reference": lambda mode: cast_code(Fraction(1, 2), FMT, mode),
    "reference, no tie": lambda mode: cast_code(Fraction(1, 3), FMT, mode),
    "floats": lambda mode: round_to_integer(R, mode),
    "codes": lambda mode: requantize([1, 3, -5], 1, 0, 4, True, mode, SAT),
    "values": lambda mode: to_codes(R, FMT, mode),
    "torch": torch_cast,
    "torch rounding": lambda mode: round_codes_(torch.tensor(R), mode),
    "torch gradient": lambda mode: range_limits(-8, 7, True, mode, SAT),
    "ONNX nodes": nodes,
    "interpreter": graph,
    "adder graphs": lambda mode: round_to(Symbol(), 0, mode),
    "SystemVerilog": rounding_number,
    "names": lambda mode: rounding_name(mode, "hls4ml"),
}
OVERFLOW_CONSUMERS = {
    "reference": lambda mode: cast_code(Fraction(99), FMT, TRN, mode),
    "codes": lambda mode: requantize([99, -99], 1, 0, 4, True, TRN, mode),
    "word": lambda mode: wrap_or_saturate([99], 4, True, mode),
    "values": lambda mode: to_codes(R, FMT, TRN, mode),
    "torch": lambda mode: torch_cast(TRN, mode),
    "torch, unsigned": lambda mode: fixed_point_cast(
        torch.tensor(R), torch.zeros(()).double(), 4, False, TRN, mode
    ),
    "torch gradient": lambda mode: range_limits(-8, 7, True, TRN, mode),
    "ONNX nodes": lambda mode: nodes(TRN, mode),
    "interpreter": lambda mode: graph(TRN, mode),
    "adder graphs": lambda mode: bring_into_range(Symbol(), Symbol(), FMT, mode),
    "SystemVerilog": overflow_number,
    "names": lambda mode: overflow_name(mode, "qonnx"),
    "wraps": lambda mode: mode.wraps,
    "saturates": lambda mode: mode.saturates,
}


@pytest.fixture
def added(monkeypatch):
    """Adds a member to an enumeration, and to the table of names that `parse` looks into."""

    def add(enumeration, table, name):
        member = str.__new__(enumeration, name)
        member._name_, member._value_, member._sort_order_ = name, name, len(enumeration)
        monkeypatch.setitem(enumeration._member_map_, name, member)
        monkeypatch.setitem(enumeration._value2member_map_, name, member)
        monkeypatch.setattr(enumeration, "_member_names_", [*enumeration._member_names_, name])
        monkeypatch.setitem(table, name, member)
        assert enumeration.parse(name) is member and member in list(enumeration)
        return member

    return add


@pytest.mark.parametrize("consumer", ROUNDING_CONSUMERS.values(), ids=ROUNDING_CONSUMERS)
def test_rounding_mode(consumer, added):
    consumer(RoundingMode.AP_TRN)
    mode = added(RoundingMode, modes._ROUNDINGS, "AP_RND_ODD")
    with pytest.raises((ValueError, KeyError), match="AP_RND_ODD"):
        consumer(mode)


@pytest.mark.parametrize("consumer", OVERFLOW_CONSUMERS.values(), ids=OVERFLOW_CONSUMERS)
def test_overflow_mode(consumer, added):
    if consumer is not OVERFLOW_CONSUMERS["adder graphs"]:  # its symbol cannot be wrapped
        consumer(OverflowMode.AP_WRAP)
    mode = added(OverflowMode, modes._OVERFLOWS, "AP_MIRROR")
    with pytest.raises((ValueError, KeyError), match="AP_MIRROR"):
        consumer(mode)
