"""Random networks: the interpreter equals qonnx's executor at every named tensor."""

from __future__ import annotations

from zlib import crc32

import pytest

from qfx_plugin.ir import interpret
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import verify
from tests import qonnx_models as models
from tests.ir.graphs import check_range
from tests.qonnx_import.random_networks import random_network


def check(seeds: range) -> None:
    compared = 0
    for index in seeds:
        seed = crc32(f"random network {index}".encode())
        model = random_network(seed)
        x = models.random_inputs(model, 32, seed)
        graph = load_qonnx(model)
        names = [name for name in graph.types() if name != "x"]
        for name, tensor in interpret(graph, x, keep=names).items():
            check_range(graph, name, tensor)
        result = verify(model, x, executors=["qonnx"])
        assert result["qonnx"].differing == 0, f"network {index}, seed {seed}:\n{result}"
        compared += result["qonnx"].ran
    assert compared > 0.95 * len(seeds)


def test_a_hundred_networks():
    check(range(100))


@pytest.mark.slow
def test_two_thousand_networks():
    check(range(100, 2100))
