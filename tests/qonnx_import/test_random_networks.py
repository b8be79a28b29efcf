"""Random networks: torch, interpreter, qonnx and onnxruntime agree at every named tensor.

2,000 models of PyTorch, of which 40 run by default and 236 in CI; files have what PyTorch does not
export.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import pytest

from qfx_plugin.ir import Input, interpret
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.verify import verify
from tests.campaign import part
from tests.ir.graphs import check_range
from tests.qonnx_import.random_models import random_model
from tests.qonnx_import.random_networks import random_file


def check(seeds: Sequence[int]) -> None:
    compared = 0
    for index in seeds:
        model, x = random_file(index)
        graph = load_qonnx(model)
        names = [op.output for op in graph.ops if not isinstance(op, Input)]
        for name, tensor in interpret(graph, x, keep=names).items():
            check_range(graph, name, tensor)
        result = verify(model, x, executors=["qonnx"])
        assert result["qonnx"].differing == 0, f"network {index}:\n{result}"
        compared += result["qonnx"].ran
    assert compared > 0.95 * len(seeds)


def check_torch(seeds: Sequence[int]) -> None:
    """PyTorch at every quantizer, qonnx and onnxruntime at every tensor."""
    compared = {"torch": 0, "qonnx": 0, "onnxruntime": 0}
    for index in seeds:
        seed = crc32(f"random model {index}".encode())
        model, x = random_model(seed)
        result = verify(model, x, executors=list(compared))
        assert result.agrees, f"model {index}, seed {seed}:\n{result}"
        for name in compared:
            compared[name] += result[name].ran
    assert compared["torch"] == len(seeds)
    assert min(compared.values()) > 0.9 * len(seeds)


def test_forty_files():
    check(range(40))


@pytest.mark.parametrize("shard", range(2))
def test_forty_models(shard):
    check_torch(range(20 * shard, 20 * (shard + 1)))


@pytest.mark.slow
def test_more_files():
    check(part(range(40, 540), 100))


@pytest.mark.slow
@pytest.mark.parametrize("shard", part(range(10), 1))
def test_two_thousand_models(shard):
    check_torch(range(40 + 196 * shard, 40 + 196 * (shard + 1)))
