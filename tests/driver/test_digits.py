"""A trained network on the simulated board: what `benchmarks/driver_sim.py` does with MNIST."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin import RtlOptions, interpret, load_qonnx
from qfx_plugin.driver import QfxAccelerator
from qfx_plugin.rtl.project import build_network
from qfx_plugin.shell.simulated_board import SimulatedBoard
from qfx_plugin.shell.wrap import wrap


@pytest.mark.slow
def test_all_digits_of_the_test_set(tmp_path, torch_seed):
    """Folded layers with weights in memories; every code, and so every decision, is the same."""
    import torch

    from brevitas_quantizers import export_qonnx
    from qfx_plugin.demo.data import load_dataset
    from qfx_plugin.demo.models import Recipe
    from qfx_plugin.demo.models import build as make
    from qfx_plugin.demo.train import accuracy, train

    data = load_dataset("digits")
    x_train, x_test = (x.reshape(len(x), -1) for x in (data.x_train, data.x_test))
    model = make("mlp", Recipe("6-bit", 6), data.image_shape, data.classes)
    train(model, x_train, data.y_train, 12, seed=torch_seed)
    export_qonnx(model, torch.from_numpy(x_train[:1]), tmp_path / "m.onnx")
    graph = load_qonnx(tmp_path / "m.onnx")
    folds = {op.name: (4, 8) for op in graph.ops if type(op).__name__ == "Linear"}
    folds[list(folds)[-1]] = (2, 8)
    network = build_network(graph, RtlOptions(style="streaming", fold=folds))
    shell = wrap(network, bus_bits=32)
    (expected,) = interpret(graph, x_test).values()
    board = SimulatedBoard.of(network, shell, pauses=0.3, seed=torch_seed)
    with QfxAccelerator(board, shell.description, transfer_samples=100) as accelerator:
        values = accelerator.run(x_test)
    np.testing.assert_array_equal(values, expected.values)
    assert accuracy(values, data.y_test) == accuracy(expected.values, data.y_test) > 80
