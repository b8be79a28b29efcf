"""What goes in and comes out, and how it is stored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qfx_plugin.errors import DataError, ModelFileError
from qfx_plugin.finn_plugin import lower
from qfx_plugin.finn_plugin.contract import Contract, FinnStream
from qfx_plugin.qonnx_import import load_qonnx
from tests.qonnx_models import cnn, concat, mlp, per_channel_activation


@pytest.mark.parametrize("make", [mlp, cnn, concat, per_channel_activation])
def test_json_round_trip(make):
    contract = lower(load_qonnx(make())).contract
    assert Contract.from_json(contract.to_json()) == contract


def test_images_stream_channels_last(rng):
    (port,) = lower(load_qonnx(cnn(in_channels=3))).contract.inputs
    assert (port.shape, port.stream_shape) == ((3, 8, 8), (8, 8, 3))
    codes = rng.integers(-9, 9, size=(2, 3, 8, 8))
    stream = port.to_stream(codes)
    assert stream[1, 2, 5, 0] == codes[1, 0, 2, 5]
    np.testing.assert_array_equal(port.from_stream(stream), codes)


def test_the_input_is_cast_by_the_host_per_channel():
    (port,) = lower(load_qonnx(per_channel_activation())).contract.inputs
    assert port.frac_bits == (5, 7, 4, 6)
    codes = port.encode(np.full((1, 4, 5, 5), 0.25))
    assert codes[0, 0, 0].tolist() == [8, 32, 4, 16]


def test_a_wrong_shape_is_named():
    (port,) = lower(load_qonnx(mlp())).contract.inputs
    with pytest.raises(DataError, match=r"input 'x' must have shape \(samples, 16\), not \(2, 3\)"):
        port.encode(np.zeros((2, 3)))


def test_a_missing_input_is_named():
    contract = lower(load_qonnx(mlp())).contract
    with pytest.raises(DataError, match="inputs must be x; x missing"):
        contract.encode({"y": np.zeros((2, 16))})


def test_damaged_metadata():
    with pytest.raises(ModelFileError, match="has no 'qfx_contract'"):
        Contract.from_json(None)
    with pytest.raises(ModelFileError, match="is damaged"):
        Contract.from_json("{}")
    old = json.loads(lower(load_qonnx(mlp())).contract.to_json()) | {"version": 0}
    with pytest.raises(ModelFileError, match="must have version 1, not 0"):
        Contract.from_json(json.dumps(old))


def test_a_result_without_axes_is_a_stream_of_one():
    stream, codes = FinnStream("y", (), (1,), (), (3,)), np.arange(-2, 3)
    assert stream.to_stream(codes).shape == (5, 1)
    assert np.array_equal(stream.from_stream(stream.to_stream(codes)), codes)
