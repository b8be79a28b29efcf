"""`Graph.verify` names the node and the rule; the texts are pinned."""

from __future__ import annotations

import re

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import FixedPointFormat
from qfx_plugin.errors import UnsupportedModelError
from qfx_plugin.ir import (
    Add,
    ArgMax,
    AveragePool,
    Concat,
    Conv,
    Extreme,
    Graph,
    Input,
    Linear,
    MaxPool,
    Quantize,
    Relu,
    Reshape,
    Window,
)
from tests.ir.graphs import graph, source, weight

FC = Linear("fc", ("q",), "y", weight(np.ones((2, 3))), None)
IMPOSSIBLE = Window((2, 2), (0, 1), ((0, 0), (0, 0)), (1, 1))

BROKEN = {
    "undefined": (
        [*source((3,)), Relu("relu", ("z",), "y")],
        "Relu 'relu': reads tensor 'z', which no earlier node defines",
    ),
    "twice": (
        [*source((3,)), Relu("relu", ("q",), "q")],
        "Relu 'relu': defines tensor 'q', which another node has defined before",
    ),
    "operand count": (
        [*source((3,)), Add("add", ("q",), "y")],
        "Add 'add': needs 2 operands, not 1",
    ),
    "no operand": ([Concat("cat", (), "y")], "Concat 'cat': needs at least one operand"),
    "float operand": (
        [Input("x", (), "x", (3,)), Relu("relu", ("x",), "y")],
        "Relu 'relu': tensor 'x' must be quantized before it is used here; put a Quant node "
        "after the network's input",
    ),
    "features": ([*source((4,)), FC], "Linear 'fc': input must have shape [3], not [4]"),
    "bias": (
        [*source((3,)), Linear("fc", ("q",), "y", FC.weight, weight([1, 2, 3]))],
        "Linear 'fc': bias must have shape [2], not [3]",
    ),
    "channels": (
        [
            *source((3, 4, 4)),
            Conv("c", ("q",), "y", weight(np.ones((4, 2, 2, 2))), None, Window.plain(2, 2), 2),
        ],
        "Conv 'c': weight [4, 2, 2, 2] with 2 groups needs 4 input channels, not 3",
    ),
    "rank": (
        [
            *source((3, 4)),
            Conv("c", ("q",), "y", weight(np.ones((4, 3, 2, 2))), None, Window.plain(2, 2)),
        ],
        "Conv 'c': input must have 3 dimensions, not [3, 4]",
    ),
    "geometry": (
        [*source((3, 4, 4)), MaxPool("p", ("q",), "y", IMPOSSIBLE)],
        f"MaxPool 'p': its geometry is impossible: {IMPOSSIBLE}",
    ),
    "empty": (
        [*source((3, 2, 2)), MaxPool("p", ("q",), "y", Window.plain(3, 3))],
        "MaxPool 'p': its output shape [3, 0, 0] has an empty dimension",
    ),
    "huge": (
        [Input("x", (), "x", (1 << 20, 1 << 20))],
        "Input 'x': its output shape [1048576, 1048576] exceeds 16777216 elements",
    ),
    "divisor": (
        [*source((3, 3, 3)), AveragePool("p", ("q",), "y", Window.plain(3, 3))],
        "AveragePool 'p': its window must hold a power of two of elements, not 9",
    ),
    "elements": (
        [*source((3, 3)), Reshape("r", ("q",), "y", (2, 4))],
        "Reshape 'r': [3, 3] has not as many elements as [2, 4]",
    ),
    "concat": (
        [*source((2, 6)), Reshape("r", ("q",), "r", (3, 4)), Concat("cat", ("q", "r"), "y")],
        "Concat 'cat': operands must agree in all but the channel axis, not [[2, 6], [3, 4]]",
    ),
    "extreme of a float": (
        [Input("x", (), "x", (3,)), Extreme("max", ("x", "x"), "y", True)],
        "Extreme 'max': tensor 'x' must be quantized before it is used here; put a Quant node "
        "after the network's input",
    ),
    "extremes broadcast": (
        [*source((2, 6)), Reshape("r", ("q",), "r", (3, 4)), Extreme("m", ("q", "r"), "y", False)],
        "Extreme 'm': shapes [2, 6] and [3, 4] do not broadcast",
    ),
    "one operand": (
        [*source((3,)), Extreme("m", ("q",), "y", True)],
        "Extreme 'm': needs 2 operands, not 1",
    ),
    "argmax of a float": (
        [Input("x", (), "x", (3,)), ArgMax("which", ("x",), "y")],
        "ArgMax 'which': tensor 'x' must be quantized before it is used here; put a Quant node "
        "after the network's input",
    ),
    "argmax of a number": (
        [*source((1,)), Reshape("r", ("q",), "r", ()), ArgMax("which", ("r",), "y")],
        "ArgMax 'which': its operand must have at least one dimension behind the batch",
    ),
    "broadcast": (
        [*source((2, 6)), Reshape("r", ("q",), "r", (3, 4)), Add("add", ("q", "r"), "y")],
        "Add 'add': shapes [2, 6] and [3, 4] do not broadcast",
    ),
    "add rank": (
        [*source((2, 6)), Reshape("r", ("q",), "r", (12,)), Add("add", ("q", "r"), "y")],
        "Add 'add': operands must have the same rank, not [2, 6] and [12]",
    ),
    "points": (
        [*source((3,)), Quantize("z", ("q",), "y", 4, (1, 2))],
        "Quantize 'z': frac_bits must have 1 or 3 entries, not 2",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_graphs_are_refused_by_node_and_rule(name):
    ops, text = BROKEN[name]
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}$"):
        graph(*ops)


def test_outputs_must_exist():
    with pytest.raises(UnsupportedModelError, match="^graph 'g' has no output$"):
        Graph(tuple(source((3,))), (), "g").verify()
    with pytest.raises(UnsupportedModelError, match="^graph 'g' has no tensor 'y'; it has x, q$"):
        Graph(tuple(source((3,))), ("y",), "g").verify()


def test_weights_must_fit_what_they_declare():
    text = "weight 'w': codes must lie in [-8, 7] (4 bits), not in [-9, 3]"
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}$"):
        weight([-9, 3], width=4, name="w")
    with pytest.raises(UnsupportedModelError, match=r"frac_bits must have 1 or \(2,\) entries"):
        weight([1, 2], [1, 2, 3])


def test_formats_are_minimal_and_proven():
    layer = Linear("fc", ("q",), "y", weight([[3, -2], [1, 1]], [2, 4]), weight([1, 0], 1))
    network = graph(*source((2,), 4, 1, signed=False), layer)
    # Row 0: 3a - 2b + 4 in [-26, 49] LSBs of 2**-3. Row 1: a + b in [0, 30] LSBs of 2**-5.
    kind = network.fixed_type("y")
    assert (kind.low.tolist(), kind.high.tolist()) == ([-26, 0], [49, 30])
    assert kind.frac_bits.tolist() == [3, 5]
    assert kind.channel_formats() == (
        FixedPointFormat.from_frac_bits(7, 3),
        FixedPointFormat.from_frac_bits(5, 5, signed=False),
    )
    assert network.formats() == {
        "q": FixedPointFormat.from_frac_bits(4, 1, signed=False),
        "y": FixedPointFormat.from_frac_bits(9, 5),
    }
    assert network.accumulator_bits("y") == 9
    assert network.significant_bits("y") == (45 + 4).bit_length()
    assert network.float_bits() == (45 + 4).bit_length()


def test_accumulators_wider_than_any_machine_word_are_still_exact():
    top = (1 << 61) - 1
    layer = Linear("fc", ("q",), "y", weight([[top] * 3], width=62), None)
    kind = graph(*source((3,), 62, 0), layer).fixed_type("y")
    assert int(kind.low[0]) == -3 * top * (1 << 61)
    assert int(kind.high[0]) == 3 * top * top


def test_a_graph_knows_its_neighbours_and_prints():
    network = graph(*source((3,)), FC)
    assert len(network) == 3
    assert [op.name for op in network.inputs] == ["x"]
    assert network.producer("y") is network.ops[2]
    assert network.consumers("q") == (network.ops[2],)
    lines = str(network).splitlines()
    assert lines[0].split() == ["operation", "node", "tensor", "shape", "and", "format"]
    assert lines[3].split() == ["Linear", "fc", "y", "[2]", "ap_fixed<10,6>"]


def test_operations_compare_by_value():
    again = Linear("fc", ("q",), "y", weight(np.ones((2, 3))), None)
    other = Linear("fc", ("q",), "y", weight(np.zeros((2, 3))), None)
    assert again == FC
    assert other != FC
