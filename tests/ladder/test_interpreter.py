"""The interpreter against exact rationals, at every tensor; its JSON form; its proven ranges."""

from __future__ import annotations

import pytest

from qfx_plugin.ir import Graph, Input, interpret
from tests.ir import naive
from tests.ir.graphs import check_range
from tests.operations import EXPORT, taken

SAMPLES = 12


@pytest.mark.parametrize("row", taken(EXPORT), ids=str)
def test_operation(row):
    graph, x = row.graph, row.x[:SAMPLES]
    names = [op.output for op in graph.ops if not isinstance(op, Input)]
    found, wanted = interpret(graph, x, keep=names), naive.run(graph, x)
    for name in names:
        assert (naive.of_tensor(found[name]) == wanted[name]).all(), name
    for name, tensor in interpret(graph, row.x, keep=names).items():
        check_range(graph, name, tensor)
    again = Graph.from_json(graph.to_json())
    assert again == graph and again.to_json() == graph.to_json()
    assert interpret(again, x) == interpret(graph, x)
