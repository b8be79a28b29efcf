"""Our operations in worker processes that know nothing of the parent."""

from __future__ import annotations

import multiprocessing

import pytest

from qfx_plugin.finn_plugin import adapter, convert
from qfx_plugin.finn_plugin.hardware.convert import specialise, to_hardware
from tests import qonnx_models
from tests.finn_plugin.helpers import PART


@pytest.fixture
def spawned(monkeypatch):
    """FINN's and qonnx's pools of processes as Windows and macOS start them."""
    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "Pool", context.Pool)


def kinds(nodes: list[bytes]) -> list[str]:
    """What a worker makes of nodes; it starts nothing by itself."""
    from onnx import NodeProto
    from qonnx.custom_op.registry import getCustomOp

    return [type(getCustomOp(NodeProto.FromString(node))).__name__ for node in nodes]


@pytest.mark.slow
def test_a_worker_of_qonnx_finds_our_operations(spawned):
    model = specialise(to_hardware(convert(qonnx_models.mlp()).model), PART)
    nodes = [node.SerializeToString() for node in model.graph.node]
    workers = adapter.module("qonnx.transformation.base").mp
    with workers.Pool(1) as pool:
        found = pool.apply(kinds, (nodes,))
    assert found == ["QFXMVU_rtl", "QFXRequant_rtl", "QFXMVU_rtl"]
