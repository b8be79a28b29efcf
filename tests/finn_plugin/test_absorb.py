"""Biases in the matrix-vector units: the same codes, types that hold every sum and no more."""

from __future__ import annotations

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import RoundingMode
from qfx_plugin.finn_plugin import adapter
from qfx_plugin.finn_plugin import model as models
from qfx_plugin.finn_plugin.hardware.convert import to_hardware
from qfx_plugin.finn_plugin.integers import require_integers
from qfx_plugin.finn_plugin.lowering.lower import lower
from qfx_plugin.finn_plugin.lowering.plan import datatype
from qfx_plugin.finn_plugin.network import Dataflow
from qfx_plugin.ir import Graph, Linear, Op, Quantize, Relu
from tests.ir.graphs import source, weight

CODES = np.array([[3, -1, 2], [-4, 0, 1], [1, 1, 1]])
"""Of 5-bit inputs: sums of channels from -96 to 95."""

BIASES = {
    "none": None,
    "positive": weight([90, 700, 7], 3),
    "negative": weight([-90, -700, -7], 3),
    "finer than the sums": weight([91, -701, 6], [5, 6, 4]),
    "coarser than the sums": weight([11, -90, 3], [0, 2, 1]),
    "of both kinds": weight([11, -91, 0], [1, 5, 3]),
}
AFTER = {
    "sums": (),
    "cast": (Quantize("c", ("s",), "y", 6, 1, True, RoundingMode.AP_RND_CONV),),
    "relu and cast": (Relu("r", ("s",), "r"), Quantize("c", ("r",), "y", 5, (1, 0, 2), False)),
}


def hardware(*ops: Op, outputs: tuple[str, ...]):
    """The network's units in hardware, its plan and the network."""
    graph = Graph((*source((3,), 5, 2), *ops), outputs, "biased").verify()
    plan = lower(graph)
    return to_hardware(require_integers(models.build(plan))), plan, graph


def corners() -> np.ndarray:
    """All inputs from the smallest and largest code and zero, and random ones."""
    ends = np.stack(np.meshgrid([-16, 15, 0], [-16, 15, 1], [-16, 15, -1]), -1).reshape(-1, 3)
    return np.concatenate([ends, np.random.default_rng(0).integers(-16, 16, size=(60, 3))]) / 4


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("name", BIASES)
def test_codes_and_types_of_a_biased_layer(name, after):
    layer = Linear("fc", ("q",), "s", weight(CODES, [1, 1, 1]), BIASES[name])
    output = "y" if after != "sums" else "s"
    model, plan, graph = hardware(layer, *AFTER[after], outputs=(output,))
    assert Dataflow(graph, model, plan.contract).check(corners())
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["QFXMVU"] if after == "sums" else kinds in (["QFXMVU", "QFXRequant"],)
    unit = adapter.module("qonnx.custom_op.registry").getCustomOp(model.graph.node[0])
    sums = (corners() * 4).astype(int) @ unit.matrix.T + unit.start
    assert unit.get_output_datatype().name == datatype(int(sums.min()), int(sums.max()))
    assert unit.start.any() == (name != "none")


def test_sums_that_others_read_keep_their_own_value():
    """Without the bias in the unit: a fork stands behind it."""
    layer = Linear("fc", ("q",), "s", weight(CODES, 1), BIASES["positive"])
    again = Linear("fc2", ("q",), "t", weight(CODES, 1), None)
    cast = Quantize("c", ("t",), "y", 4, 1)
    model, plan, graph = hardware(layer, again, cast, outputs=("s", "t", "y"))
    assert Dataflow(graph, model, plan.contract).differences(corners()) == {"s": 0, "t": 0, "y": 0}
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QFXDuplicate") == 2
