"""Parameter files: what is read, and what is refused in which words."""

from __future__ import annotations

import numpy as np
import pytest

from qfx_plugin.errors import ModelFileError, OptionError
from qfx_plugin.fracbnn import CIFAR10, Architecture, Parameters, load_parameters
from tests.fracbnn.conftest import TINY


@pytest.fixture
def arrays(parameters):
    return dict(parameters.arrays)


@pytest.fixture
def written(tmp_path):
    def write(arrays):
        path = tmp_path / "parameters.npz"
        np.savez(path, **arrays)
        return path

    return write


def refusal(path, architecture=TINY):
    with pytest.raises(ModelFileError) as error:
        load_parameters(path, architecture)
    return str(error.value).removeprefix(f"{path}: ")


def test_what_is_saved_is_loaded(parameters, tmp_path):
    path = tmp_path / "saved.npz"
    parameters.save(path)
    loaded = load_parameters(path, TINY)
    assert loaded.architecture == TINY
    assert loaded.arrays.keys() == parameters.arrays.keys()
    for name, array in parameters.arrays.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_the_cifar10_network_has_the_arrays_of_the_release():
    shapes = CIFAR10.shapes()
    assert len(shapes) == 167
    assert shapes["conv1_weight"] == (16, 96, 3, 3)
    assert shapes["layer2_0_conv1_weight"] == (32, 16, 3, 3)
    assert shapes["layer3_2_bn4_bias"] == (64,)


def test_refused_by_the_name_of_the_array(arrays, written):
    assert refusal(written(arrays | {"extra": np.zeros(2)})) == (
        "array 'extra' belongs to no layer of the network"
    )
    assert refusal(written(arrays | {"bn1_bias": np.zeros(3)})) == (
        "array 'bn1_bias' must be float of shape (4,), not float64 of shape (3,)"
    )
    assert refusal(written(arrays | {"bn1_bias": np.zeros(4, dtype=np.int64)})) == (
        "array 'bn1_bias' must be float of shape (4,), not int64 of shape (4,)"
    )
    bad = arrays["linear_bias"].copy()
    bad[3] = np.nan
    assert refusal(written(arrays | {"linear_bias": bad})) == "array 'linear_bias' must be finite"
    del arrays["layer1_0_conv2_threshold"]
    assert refusal(written(arrays)) == "array 'layer1_0_conv2_threshold' is missing"


def test_nothing_is_unpickled(arrays, written):
    path = written(arrays | {"bn1_bias": np.array([print, 1, 2, 3], dtype=object)})
    assert refusal(path).startswith("cannot be read as .npz arrays: ")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"no arrays at all"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    assert refusal(path).startswith("cannot be read as .npz arrays: ")


def test_a_plain_npy_file_is_refused(tmp_path):
    path = tmp_path / "one.npy"
    np.save(path, np.zeros(3))
    assert refusal(path).startswith("cannot be read as .npz arrays: ")


def test_a_missing_file_is_refused(tmp_path):
    assert refusal(tmp_path / "none.npz").startswith("cannot be read as .npz arrays: ")


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"channels": (16, 48)}, "channels must double from stage to stage, not be (16, 48)"),
        ({"channels": ()}, "channels must double from stage to stage, not be ()"),
        ({"levels": 24}, "levels must be a power of two from 2 on, not 24"),
        ({"blocks": 0}, "blocks, colours and classes must be at least 1, not 0, 3, 10"),
    ],
)
def test_impossible_architectures(sizes, text):
    with pytest.raises(OptionError, match="must") as error:
        Architecture(**sizes)
    assert str(error.value) == text


def test_random_parameters_repeat():
    first, second = (Parameters.random(TINY, seed=3) for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first.arrays)
