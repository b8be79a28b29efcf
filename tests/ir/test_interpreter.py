"""The interpreter's frame: inputs, chunks, int64 limits, exact matrix products."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from qfx_plugin.errors import DataError, UnsupportedModelError
from qfx_plugin.ir import FixedTensor, Linear, Quantize, interpret, interpreter
from qfx_plugin.ir.exact import big_products, carrier, matmul
from qfx_plugin.qonnx_import import load_qonnx
from tests import qonnx_models
from tests.ir.graphs import graph, source, weight


def test_float64_products_are_used_only_where_they_are_exact():
    assert carrier((1 << 53) - 1) is np.float64
    assert carrier(1 << 53) is np.int64
    left = np.array([[1 << 31, 1]])
    right = np.array([[1 << 31], [1]])
    assert matmul(left, right, (1 << 62) + 1)[0, 0] == (1 << 62) + 1
    # What float64 would have made of it:
    assert int((left.astype(float) @ right.astype(float))[0, 0]) == 1 << 62


def test_big_products_leave_64_bits():
    matrix, vector = np.array([[1 << 40, 1], [2, 3]]), np.array([1 << 40, 3], dtype=object)
    wanted = [(1 << 80) + 3, (1 << 41) + 9]
    assert big_products(matrix, [vector]).tolist() == [wanted]
    assert big_products(matrix, [np.stack([vector, vector])]).tolist() == [wanted]


def test_sums_between_53_and_63_bits_are_exact():
    layer = Linear("fc", ("q",), "y", weight([[(1 << 30) + 1, 1]], width=32), None)
    network = graph(*source((2,), 30, 0), layer)
    codes = interpret(network, [[(1 << 29) - 1, 1]])["y"].codes
    assert codes[0, 0] == ((1 << 30) + 1) * ((1 << 29) - 1) + 1


def test_sums_beyond_63_bits_are_refused():
    layer = Linear("fc", ("q",), "y", weight([[1 << 40]], width=42), None)
    network = graph(*source((1,), 30, 0), layer)
    text = "Linear 'fc': its sums need 71 bits; the interpreter has 64 (int64)"
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(text)}$"):
        interpret(network, [[1.0]])


def test_an_all_zero_channel_may_have_any_binary_point():
    layer = Linear("fc", ("q",), "y", weight([[0, 0], [1, 2]], [0, 90]), weight([0, 1], [0, 0]))
    network = graph(*source((2,), 4, -80), layer)
    result = interpret(network, np.array([[1.0, -2.0]]) * 2.0**80)["y"]
    assert result.codes.tolist() == [[0, (1 << 10) + 1 - 4]]


def test_chunks_change_nothing(rng, monkeypatch):
    network = load_qonnx(qonnx_models.cnn())
    x = qonnx_models.random_inputs(qonnx_models.cnn(), 37)
    whole = interpret(network, x)["logits"]
    monkeypatch.setattr(interpreter, "CHUNK_ELEMENTS", 10_000)
    assert interpret(network, x)["logits"] == whole


def test_keep_returns_the_tensors_asked_for():
    network = load_qonnx(qonnx_models.cnn())
    x = qonnx_models.random_inputs(qonnx_models.cnn(), 3)
    assert list(interpret(network, x)) == ["logits"]
    kept = interpret(network, {"x": x}, keep=["conv1_acc", "flat"])
    assert {name: tensor.codes.shape for name, tensor in kept.items()} == {
        "conv1_acc": (3, 4, 8, 8),
        "flat": (3, 24),
    }
    with pytest.raises(UnsupportedModelError, match="has no tensor 'z'"):
        interpret(network, x, keep=["z"])
    with pytest.raises(UnsupportedModelError, match="tensor 'x' is a float input without a format"):
        interpret(network, x, keep=["x"])


def test_no_samples_give_no_codes():
    network = load_qonnx(qonnx_models.cnn())
    assert interpret(network, np.zeros((0, 1, 8, 8)))["logits"].codes.shape == (0, 10)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "bool"])
def test_any_numbers_are_welcome(dtype):
    network = graph(*source((2,), 8, 0))
    x = np.array([[0, 1], [1, 1]]).astype(dtype)
    assert interpret(network, x)["q"].codes.tolist() == [[0, 1], [1, 1]]


BAD_INPUTS = {
    "shape": (np.zeros((4, 3)), "input 'x' must have shape (samples, 2), not (4, 3)"),
    "no batch": (np.zeros(2), "input 'x' must have shape (samples, 2), not (2,)"),
    "strings": (np.array([["a", "b"]]), "input 'x' must hold numbers, not <U1"),
    "names": ({"y": np.zeros((1, 2))}, "inputs must be exactly x, not y"),
    "none": ({}, "inputs must be exactly x, not none"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_inputs_are_refused(name):
    inputs, text = BAD_INPUTS[name]
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        interpret(graph(*source((2,))), inputs)


def test_nan_is_refused():
    with pytest.raises(DataError, match="(?i)nan"):
        interpret(graph(*source((2,))), [[0.0, np.nan]])


def test_fixed_tensors_compare_by_code_and_binary_point():
    tensor = FixedTensor(np.array([[3]]), np.array(1))
    assert tensor.values.tolist() == [[1.5]]
    assert tensor == FixedTensor(np.array([[3]]), np.array(1))
    assert tensor != FixedTensor(np.array([[6]]), np.array(2))
    assert tensor != FixedTensor(np.array([[3], [3]]), np.array(1))


def test_requantizing_an_unused_input_type_is_no_business_of_the_interpreter():
    op = Quantize("r", ("q",), "r", 62, 60)
    network = graph(*source((1,), 4, 0, signed=False), op)
    assert interpret(network, [[1.0]])["r"].codes.tolist() == [[1 << 60]]


def test_four_hundred_and_fifty_digits_take_less_than_a_second():
    model = qonnx_models.cnn(channels=(16, 32), hidden=(64,))
    network, x = load_qonnx(model), qonnx_models.random_inputs(model, 450)
    start = time.perf_counter()
    interpret(network, x)
    assert time.perf_counter() - start < 1.0


@pytest.mark.slow
def test_ten_thousand_images_through_lenet_take_less_than_a_minute():
    model = qonnx_models.cnn(size=28, channels=(6, 16), kernel=5, hidden=(120, 84))
    network, x = load_qonnx(model), qonnx_models.random_inputs(model, 10_000)
    start = time.perf_counter()
    interpret(network, x)
    assert time.perf_counter() - start < 60.0
