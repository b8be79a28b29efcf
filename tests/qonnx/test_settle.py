"""Sizes that an exporter computes in the graph become constants, however many there are."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from brevitas_quantizers.qonnx.settle import settle_sizes

MANY = 150


def test_any_number_of_computed_sizes_is_settled() -> None:
    """`x.view(x.size(0), -1)` again and again, each from the shape of the one before."""
    nodes, names = [], [f"x{index}" for index in range(MANY + 1)]
    for index, (source, result) in enumerate(zip(names[:-1], names[1:], strict=True)):
        rest = "one" if index % 2 else "other"
        nodes += [
            helper.make_node("Shape", [source], [f"shape{index}"]),
            helper.make_node("Gather", [f"shape{index}", "zero"], [f"batch{index}"], axis=0),
            helper.make_node("Concat", [f"batch{index}", rest], [f"sizes{index}"], axis=0),
            helper.make_node("Reshape", [source, f"sizes{index}"], [result]),
        ]
    sizes = {"zero": [0], "one": [-1], "other": [2, 3]}
    constants = [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in sizes.items()]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4, 6]) for n in ("x0", names[-1])]
    graph = helper.make_graph(nodes, "sizes", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    settle_sizes(model)
    assert [node.op_type for node in model.graph.node] == ["Reshape"] * MANY
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert {tuple(known[node.input[1]].tolist()) for node in model.graph.node} == {
        (4, -1),
        (4, 2, 3),
    }
    onnx.checker.check_model(model)
