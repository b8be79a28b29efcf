"""Every target's table of handlers: what is missing is refused alike, and the advice is true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.finn_plugin.lowering.lower import handles as finn
from qfx_plugin.finn_plugin.lowering.lower import lower as lower_finn
from qfx_plugin.hls4ml_backend.lowering.lower import handles as hls4ml
from qfx_plugin.hls4ml_backend.lowering.lower import lower as lower_hls4ml
from qfx_plugin.ir import (
    OPERATIONS,
    AveragePool,
    Conv,
    Elementwise,
    FixedType,
    Identity,
    Input,
    Linear,
    Op,
    Relu,
    Reshape,
    SumPool,
    Transpose,
    View,
    interpret,
    operation,
    passes,
)
from qfx_plugin.ir.handlers import Handlers
from qfx_plugin.rtl.graph.lower import handles as unrolled
from qfx_plugin.rtl.options import RtlOptions
from qfx_plugin.rtl.stream.stages import cut
from qfx_plugin.rtl.stream.stages import handles as streaming
from qfx_plugin.rtl.unrolled import build_unrolled
from tests.ir.graphs import graph, source

TABLES = {"'hls4ml'": hls4ml, "'finn'": finn, "'unrolled'": unrolled, "'streaming'": streaming}
BEFORE = {Input, Identity}
"""What no lowering sees: passes drop the one, the host does the other."""


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_advice_of_a_refusal_is_true(table):
    named = [other for name, other in TABLES.items() if name in table.instead]
    assert named and table not in named
    for kind in set(OPERATIONS.values()) - BEFORE:
        assert kind in table or any(kind in other for other in named), kind


def test_a_missing_operation_is_refused_by_its_name():
    table = Handlers("the toy target", instead="use target 'hls4ml'")
    table(Linear)(lambda: "linear")
    assert Linear in table and Relu not in table
    with pytest.raises(TargetError) as caught:
        table.of(Relu("act", ("x",), "y"))
    assert str(caught.value) == (
        "Relu 'act': the toy target has no form of this operation: use target 'hls4ml'"
    )


def test_a_family_serves_its_members_but_no_operation_another():
    table = Handlers("the toy target", instead="use another")
    table(View)("view")
    table(SumPool)("sum")
    assert table.of(Transpose("t", ("x",), "y", (1, 0))) == "view"
    assert AveragePool not in table and Conv not in table
    with pytest.raises(TypeError, match="the toy target: SumPool has a handler already"):
        table(SumPool)("again")


def test_two_operations_of_one_name_are_an_error():
    with pytest.raises(TypeError, match="there is an operation 'Relu' already"):
        operation(type("Relu", (Op,), {}))


@pytest.fixture
def double():
    """An operation that QFX has not: a class, and a handler of one target."""

    @operation
    class Double(Elementwise):
        def result(self, *operands):
            kind = self.fixed(operands[0])
            return FixedType(kind.shape, kind.frac_bits, kind.low * 2, kind.high * 2)

        def run(self, operands, types, result):
            return operands[0] * 2

    unrolled(Double)(lambda op, operands, effort: operands[0] + operands[0])
    yield Double
    del OPERATIONS["Double"], unrolled._table[Double]


def test_a_new_operation_is_a_class_and_a_handler(double):
    """The JSON form, the interpreter, passes and streaming stages need nothing more."""
    ops = (*source((4, 3)), Reshape("flat", ("q",), "f", (12,)), double("d", ("f",), "y"))
    network = graph(*ops)
    x = np.arange(24).reshape(2, 4, 3) / 8
    moved = passes.hoist_elementwise(network)
    assert [type(op) for op in moved][2:] == [double, Reshape]
    assert interpret(moved, x)["y"] == interpret(network, x)["y"]
    assert [type(op) for op in cut(moved)[0].ops] == [double]
    built = build_unrolled(network, RtlOptions(style="unrolled"))
    assert built.facts["adders"] == 12
    for lower, who in ((lower_hls4ml, "the hls4ml target"), (lower_finn, "the FINN target")):
        with pytest.raises(TargetError, match=f"^Double 'd': {who} has no form of this operation"):
            lower(network)


def test_an_elementwise_operation_with_facts_of_its_own_is_taken_to_differ_by_channel():
    """Whoever adds one and forgets the question gets no wrong bits by it."""

    @dataclass(frozen=True)
    class Offsets(Relu):
        offsets: tuple[int, ...] = ()

    one = Offsets("o", ("x",), "y", (1, 2))
    assert one.differs_by_channel and one.with_channels(lambda values: values) is None
    assert not Relu("r", ("x",), "y").differs_by_channel
