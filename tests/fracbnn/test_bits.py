"""The trained network, the file and the integers are one function."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin import interpret, verify_agreement
from qfx_plugin.ir import Multiply


def compare(network, x, *executors):
    report = verify_agreement(network.path, x, torch_model=network.model, executors=executors)
    report.raise_if_different(required=executors)


def test_torch_and_file_equal_the_interpreter(network, images):
    compare(network, images.numpy(), "torch", "onnxruntime")


@pytest.mark.slow
def test_the_qonnx_executor_too(network, images):
    compare(network, images.numpy(), "qonnx")


def test_pixels_at_the_edges_and_between_levels(network, images, rng):
    x = rng.uniform(0, 1, images.shape).astype(np.float32)
    x[0], x[1], x[2] = 0.0, 1.0, 1 / 32  # a tie
    compare(network, x, "torch")


def test_gates_open_and_close(network, images):
    """The data exercise both results of every gate."""
    graph = network.graph
    gates = [op.inputs[0] for op in graph if isinstance(op, Multiply) and op.name.startswith("Mul")]
    assert len(gates) == 4
    for codes in interpret(graph, images.numpy(), keep=gates).values():
        assert set(np.unique(codes.codes)) == {0, 1}
