"""Every target's table of handlers: what is missing is refused alike, and the advice is true."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.finn_plugin.lowering.lower import handles as finn
from qfx_plugin.hls4ml_backend.lowering.lower import handles as hls4ml
from qfx_plugin.ir import (
    OPERATIONS,
    AveragePool,
    Conv,
    Identity,
    Input,
    Linear,
    Op,
    Relu,
    SumPool,
    Transpose,
    View,
    operation,
)
from qfx_plugin.ir.handlers import Handlers
from qfx_plugin.rtl.graph.lower import handles as unrolled
from qfx_plugin.rtl.stream.stages import handles as streaming

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


def test_an_elementwise_operation_with_facts_of_its_own_is_taken_to_differ_by_channel():
    """Whoever adds one and forgets the question gets no wrong bits by it."""

    @dataclass(frozen=True)
    class Offsets(Relu):
        offsets: tuple[int, ...] = ()

    one = Offsets("o", ("x",), "y", (1, 2))
    assert one.differs_by_channel and one.with_channels(lambda values: values) is None
    assert not Relu("r", ("x",), "y").differs_by_channel
