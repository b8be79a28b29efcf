"""The generator of random networks: repeatable, with every trait, and the same as a file."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import TargetError
from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from tests.graph_file import to_qonnx
from tests.random_networks import ANY, FILE, TARGETS, TRAITS, Tally, random_network


def test_a_name_decides_everything():
    one, same, other = (random_network(name) for name in ("a", "a", "b"))
    assert one.graph.to_json() == same.graph.to_json()
    assert np.array_equal(one.x, same.x)
    assert one.graph.to_json() != other.graph.to_json()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_trait_is_drawn_and_none_that_the_target_lacks(target):
    traits = [random_network(f"trait {number}", target).traits for number in range(60)]
    assert set().union(*traits) == TRAITS.keys() - target.lacks


def test_a_trait_can_be_asked_for():
    for trait in ("upsampling", "1-D", "several outputs"):
        assert trait in random_network("asked", ANY, trait).traits


def test_files_are_the_same_networks():
    tally = Tally(FILE)
    for number in range(80):
        network = random_network(f"file {number}", FILE)
        with tally.refusals(network):
            graph = load_qonnx(to_qonnx(network.graph))
            found, wanted = (interpret(one, network.x) for one in (graph, network.graph))
            pairs = [(found[name].values, wanted[name].values) for name in wanted]
            wrong = sum(int(np.sum(a != b)) for a, b in pairs)
            tally.compared(network, sum(a.size for a, _ in pairs), wrong)
    tally.check(most_refused=0.05)


def test_a_tally_fails_where_little_was_compared_or_something_differs():
    network, tally = random_network("tally"), Tally(ANY)
    with tally.refusals(network):
        raise TargetError("no")
    with pytest.raises(AssertionError, match="'tally, attempt .*: no"):
        tally.check(most_refused=0.5)
    tally.compared(network, 600, 0)
    tally.check(most_refused=0.5, all_traits=False)
    with pytest.raises(AssertionError, match="never compared: "):
        tally.check(most_refused=0.5)
    tally.compared(network, 600, 2)
    with pytest.raises(AssertionError, match="2 of 600 codes differ"):
        tally.check(most_refused=0.5, all_traits=False)
    with pytest.raises(ZeroDivisionError), tally.refusals(network):
        1 / 0  # noqa: B018
