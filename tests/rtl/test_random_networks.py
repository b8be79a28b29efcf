"""Random small networks in simulation, code by code, and that a difference would be told."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from qfx_plugin.ir import Graph, Linear, Quantize
from qfx_plugin.rtl.network import compile_together
from qfx_plugin.rtl.project import RtlOptions, build_network
from tests.campaign import part
from tests.ir.graphs import graph, source, weight
from tests.random_networks import OVERFLOWS, ROUNDINGS
from tests.rtl.small_networks import BATCH, STYLES, case, compare, simulate

NETWORKS, FIRST = 600, 2
"""All of the campaign, and batches that always run."""

MOST_REFUSED = 5
"""Draws of a batch that are refused, at most, each for a constant of more than 31 bits or for what
style 'streaming' has no form of; another one is drawn instead."""


@pytest.mark.slow
@pytest.mark.parametrize("first", part(range(0, NETWORKS, BATCH), FIRST))
def test_random_networks_as_gates(first):
    cases = [case(index) for index in range(first, first + BATCH)]
    assert sum(simulate(cases)) >= 2 * 300 * BATCH
    assert sum(len(one.refused) for one in cases) <= MOST_REFUSED
    assert Counter(one.style for one in cases).keys() == set(STYLES)
    ops = [op for one in cases for op in one.network.graph.ops]
    casts = [op for op in ops if isinstance(op, Quantize)]
    assert {op.rounding.value for op in casts} == set(ROUNDINGS)
    assert {op.overflow.value for op in casts} == set(OVERFLOWS)
    assert any(op.points.size > 1 for op in casts)
    assert len({type(op) for op in ops}) >= 15
    assert len(set().union(*(one.network.traits for one in cases))) >= 16
    folded = [stage for one in cases for stage in one.rtl.facts.get("stages", ())]
    assert sum(stage["style"] == "folded" for stage in folded) >= BATCH // 4


def test_a_difference_tells_the_network_the_inputs_and_both_values():
    """The interpreter gets one weight that the hardware has not."""
    one = case(4)
    layer = next(op for op in reversed(one.network.graph.ops) if isinstance(op, Linear))
    codes = np.array(layer.weight.codes)
    codes.flat[0] = codes.min() if codes.flat[0] > 0 else codes.max()
    changed = replace(layer, weight=replace(layer.weight, codes=codes, k=None))
    ops = tuple(changed if op is layer else op for op in one.network.graph.ops)
    one.network.graph = Graph(ops, one.network.graph.outputs, "changed").verify()
    text = (
        r"network 4 \('gates 4.*', unrolled\): \d+ of \d+ codes of 't\d+' differ; first at \(\d+, "
        r"\d+\): the simulation has -?\d+, the interpreter -?\d+; input codes \{'t1': \[.*\d\]+\}"
    )
    with pytest.raises(AssertionError, match=text):
        compare(one)


def test_modules_and_memories_of_one_name_do_not_meet(rng):
    """Two networks of the same names and different weights in one library."""
    networks = []
    for _ in range(2):
        layer = Linear("fc", ("q",), "y", weight(rng.integers(-9, 9, size=(4, 6)), 3), None)
        options = RtlOptions(style="streaming", fold={"fc": (2, 3)})
        networks.append(build_network(graph(*source((6,), 5, 2), layer), options))
    assert networks[0].files.keys() == networks[1].files.keys()
    compile_together(networks)
    libraries = {network.simulation.model.library for network in networks}
    assert len(libraries) == 1
    x = rng.uniform(-9, 9, size=(50, 6))
    assert [network.check(x, idle=0.2) for network in networks] == [200, 200]
    first, second = (network.run(x)["y"] for network in networks)
    assert first != second
