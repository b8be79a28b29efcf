"""A small network on the simulated board, compiled once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
import pytest

from qfx_plugin import RtlOptions, interpret, load_qonnx
from qfx_plugin.driver import QfxAccelerator
from qfx_plugin.rtl.network import RtlNetwork
from qfx_plugin.rtl.project import build_network
from qfx_plugin.shell.simulated_board import SimulatedBoard
from qfx_plugin.shell.wrap import Shell, wrap
from tests import qonnx_models as models


@dataclass(frozen=True)
class Case:
    """A network, its shell, inputs, and what the interpreter makes of them."""

    network: RtlNetwork
    shell: Shell
    x: np.ndarray
    expected: Any

    def board(self, **options: Any) -> SimulatedBoard:
        return SimulatedBoard.of(self.network, self.shell, **options)

    def accelerator(self, board: SimulatedBoard | None = None, **options: Any) -> QfxAccelerator:
        return QfxAccelerator(board or self.board(), self.shell.description, **options)


@pytest.fixture(scope="session")
def case(tmp_path_factory) -> Case:
    """An MLP of 6, 4 and 3 neurons, unrolled; the one that `test_rtl_handover.py` builds."""
    path = tmp_path_factory.mktemp("driver") / "model.onnx"
    model = models.mlp((6, 4, 3), bit_width=4)
    onnx.save(model, path)
    network = build_network(load_qonnx(path), RtlOptions(style="unrolled"))
    x = models.random_inputs(model, 70)
    return Case(network, wrap(network), x, interpret(network.graph, x)["logits"])


@pytest.fixture
def board(case):
    """The board with pauses of everything that can wait."""
    board = case.board(pauses=0.3, seed=5)
    yield board
    board.close()


@pytest.fixture
def accelerator(case, board):
    """The driver on that board; 16 samples in a transfer."""
    return case.accelerator(board, transfer_samples=16)


@pytest.fixture
def make(case):
    """Makes other drivers of the same network."""
    return partial(case.accelerator)
