"""Constants that no Quant casts: read as integers of few bits, or refused with their number."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from brevitas_quantizers.fixed_point import QfxError
from brevitas_quantizers.onnx_files import Node, PlainNumbers
from brevitas_quantizers.onnx_files.operands import FileConstants


def read(values, kind="Mul") -> PlainNumbers | None:
    proto = helper.make_node(kind, ["x", "c"], ["y"], "node")
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    constant = numpy_helper.from_array(np.asarray(values, np.float32), "c")
    graph = helper.make_graph([proto], "g", tensors[:1], tensors[1:], [constant])
    node = Node(proto)
    return PlainNumbers.read(node, FileConstants(graph, [node]), "c")


@pytest.mark.parametrize(
    ("values", "kind", "codes", "frac_bits", "width"),
    [
        (0.75, "Mul", 3, 2, 3),
        ([-2.5, 0.25], "Add", [-10, 1], 2, 5),
        ([[6.0], [0.0]], "Sub", [[3], [0]], -1, 3),
        (0.0, "Add", 0, 0, 1),
        ([4.0, -0.5], "Div", [1, -8], 2, 5),
    ],
)
def test_codes_share_the_coarsest_point_that_holds_them(values, kind, codes, frac_bits, width):
    found = read(values, kind)
    assert np.array_equal(found.codes, codes) and found.codes.shape == np.shape(values)
    assert (found.frac_bits, found.width) == (frac_bits, width)


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        (0.1, "Mul", "its operand 'c' must be numbers of at most .* not 0.100000001; or it must"),
        ([1.0, 2.0**-40], "Add", "must be numbers of at most .* on one binary point, not more"),
        (np.inf, "Add", "must be numbers of at most .* not inf"),
        (np.nan, "Mul", "must be numbers of at most .* not nan"),
        (3.0, "Div", "Div 'node': must divide by powers of two, unlike 'c'"),
        (0.0, "Div", "Div 'node': must divide by powers of two"),
    ],
)
def test_other_numbers_are_refused(values, kind, text):
    with pytest.raises(QfxError, match=text):
        read(values, kind)


def test_a_tensor_of_the_network_is_none():
    proto = helper.make_node("Mul", ["x", "z"], ["y"], "node")
    graph = helper.make_graph([proto], "g", [], [])
    node = Node(proto)
    assert PlainNumbers.read(node, FileConstants(graph, [node]), "z") is None
