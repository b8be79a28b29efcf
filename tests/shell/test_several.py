"""Networks of several inputs and outputs behind the AXI shell, driven as on a board."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.driver import QfxAccelerator
from qfx_plugin.ir import interpret
from qfx_plugin.rtl.project import RtlOptions, build_network
from qfx_plugin.shell.simulated_board import SimulatedBoard
from qfx_plugin.shell.wrap import wrap
from tests.several import DETECTOR, SHAPES_THAT_DIFFER, SQUEEZE, UNET, inputs

CASES = [
    (DETECTOR, "streaming"), (SHAPES_THAT_DIFFER, "streaming"), (SHAPES_THAT_DIFFER, "unrolled"),
    pytest.param(DETECTOR, "unrolled", marks=pytest.mark.slow),
    pytest.param(SQUEEZE, "streaming", marks=pytest.mark.slow),
    pytest.param(UNET, "streaming", marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "style"), CASES, ids=str)
def test_driver(graph, style):
    """With pauses of the DMA on both sides and without; inputs by name, and in order."""
    network = build_network(graph, RtlOptions(style=style))
    shell = wrap(network, bus_bits=32)
    x = inputs(graph, 9)
    wanted = interpret(graph, x)
    board = SimulatedBoard.of(network, shell, pauses=0.4, seed=1)
    with QfxAccelerator(board, shell.description, transfer_samples=4) as accelerator:
        for given in (x, tuple(x.values())):
            given = given if len(x) > 1 else next(iter(x.values()))
            codes = accelerator.run(given, codes=True)
            codes = codes if isinstance(codes, dict) else {graph.outputs[0]: codes}
            assert set(codes) == set(graph.outputs)
            for name, found in codes.items():
                assert np.array_equal(found, wanted[name].codes), name
        values = accelerator.run(given)
        if len(graph.outputs) > 1:
            for name in graph.outputs:
                assert np.array_equal(values[name], wanted[name].values)
