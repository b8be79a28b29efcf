"""What the driver makes of the user's arrays, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brevitas_quantizers.fixed_point import FixedPointCast, FixedPointFormat
from qfx_plugin import interpret
from qfx_plugin.driver import InputTensor, OutputTensor
from qfx_plugin.driver.errors import DataError
from qfx_plugin.driver.tensors import check_codes, check_values, decode_codes, values_of
from qfx_plugin.ir import Graph, Input, Quantize, Reshape
from qfx_plugin.ir.ops import Transpose
from qfx_plugin.shell.wrap import wrap
from tests.shell.through import through


def encode(description, given):
    samples = check_values(description, given)
    return samples.codes(0, len(samples))


def encode_codes(description, given):
    samples = check_codes(description, given)
    return samples.codes(0, len(samples))


NETWORK = through((3, 2, 2), 6, (1, 2, 4))
DESCRIPTION = wrap(NETWORK).description


def test_floats_are_cast_as_the_interpreter_does(rng):
    """Binary points per channel, ties and values out of range."""
    x = (rng.integers(-500, 500, size=(50, 3, 2, 2)) / 8).astype(np.float32)
    codes = encode(DESCRIPTION, x)
    assert codes.shape == (50, 4, 3)
    expected = interpret(NETWORK.graph, x)["y"]
    found = decode_codes(DESCRIPTION, codes)
    np.testing.assert_array_equal(found, expected.codes)
    np.testing.assert_array_equal(values_of(DESCRIPTION, found), expected.values)
    np.testing.assert_array_equal(encode_codes(DESCRIPTION, expected.codes), codes)


def test_elements_that_move_before_the_cast(rng):
    """Channels last, then a reshape: the description holds where each element comes from."""
    graph = Graph(
        (
            Input("i", (), "x", (2, 3, 4)),
            Transpose("t", ("x",), "xt", (2, 0, 1)),
            Reshape("r", ("xt",), "xr", (4, 6)),
            Quantize("q", ("xr",), "y", 8, (0, 1, 2, 3)),
        ),
        ("y",),
        "moved",
    )
    made = wrap(replace(NETWORK, graph=graph, files={}, style="unrolled")).description
    x = rng.normal(size=(7, 2, 3, 4)) * 20
    expected = interpret(graph, x)["y"].codes
    np.testing.assert_array_equal(encode(made, x).reshape(7, 4, 6), expected)


def test_several_inputs_and_outputs(rng):
    cast = (FixedPointCast.parse("ap_fixed<8,8>"),)
    two = replace(
        DESCRIPTION,
        channels_last=False,
        inputs=(InputTensor("a", (2,), cast, (), (2,)), InputTensor("b", (3,), cast, (), (3,))),
        outputs=(
            OutputTensor("p", (1, 2), (FixedPointFormat(8, 8),)),
            OutputTensor("q", (3,), (FixedPointFormat(8, 7),)),
        ),
    )
    a, b = rng.integers(-9, 9, size=(4, 2)), rng.integers(-9, 9, size=(4, 3))
    codes = encode_codes(two, {"b": b, "a": a})
    for given in ([a, b], (a, b)):
        np.testing.assert_array_equal(encode_codes(two, given), codes)
    np.testing.assert_array_equal(codes[:, 0], np.concatenate([a, b], axis=1))
    found = values_of(two, decode_codes(two, codes))
    np.testing.assert_array_equal(found["p"], a.reshape(4, 1, 2))
    np.testing.assert_array_equal(found["q"], b / 2)
    with pytest.raises(DataError) as error:
        encode_codes(two, a)
    assert str(error.value) == "inputs must be given by name (a, b), not as one array"
    with pytest.raises(DataError) as error:
        encode(two, {"a": a * 1.0, "c": b * 1.0})
    assert str(error.value) == "inputs must be a, b, not a, c"
    with pytest.raises(DataError) as error:
        encode(two, {"a": a * 1.0, "b": b[:2] * 1.0})
    assert str(error.value) == "a, b must have the same number of samples, not [2, 4]"


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i8", "?", "f2"])
def test_whole_numbers_are_values(dtype, rng):
    """As `verify` takes them: bytes of an image are values, and no codes."""
    x = (rng.integers(0, 2, size=(5, 3, 2, 2)) * 7).astype(dtype)
    np.testing.assert_array_equal(encode(DESCRIPTION, x), encode(DESCRIPTION, x.astype(np.float64)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 2, 2)), "x must have shape (samples, 3, 2, 2), not (3, 2, 2)"),
        (np.zeros((5, 12)), "x must have shape (samples, 3, 2, 2), not (5, 12)"),
        (np.float32(1), "x must have shape (samples, 3, 2, 2), not ()"),
        (np.full((1, 3, 2, 2), 2**24 + 1), "x must be integers of at most 24 bits, or floats: "
         "give codes to run_codes"),
        (np.full((1, 3, 2, 2), -(2**63)), "x must be integers of at most 24 bits, or floats: "
         "give codes to run_codes"),
        (np.zeros((1, 3, 2), np.uint8), "x must have shape (samples, 3, 2, 2), not (1, 3, 2)"),
        (np.array(["a"]), "x must hold numbers, not <U1"),
        (np.full((2, 3, 2, 2), np.nan), "x must be finite: 24 values are not, the first is nan at "
         "(0, 0, 0, 0)"),
        ({"z": np.zeros((1, 3, 2, 2))}, "inputs must be x, not z"),
    ],
)  # fmt: skip
def test_values_that_are_refused(given, message):
    with pytest.raises(DataError) as error:
        encode(DESCRIPTION, given)
    assert str(error.value) == message


def test_one_infinity_is_found():
    x = np.zeros((4, 3, 2, 2), np.float32)
    x[2, 1, 0, 1] = -np.inf
    with pytest.raises(DataError, match=r"1 values are not, the first is -inf at \(2, 1, 0, 1\)"):
        encode(DESCRIPTION, x)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((1, 3, 2, 2)), "codes of x must be integers, not float64"),
        (np.zeros((1, 3, 4), int), "codes of x must have shape (samples, 3, 2, 2), not (1, 3, 4)"),
        (np.full((1, 3, 2, 2), 32), "codes of x must lie in [-32, 31], as "
         "ap_fixed<6,5,AP_RND_CONV,AP_SAT> has them, not 32 at (0, 0, 0, 0)"),
        (np.full((1, 3, 2, 2), 255, np.uint8), "codes of x must lie in [-32, 31], as "
         "ap_fixed<6,5,AP_RND_CONV,AP_SAT> has them, not 255 at (0, 0, 0, 0)"),
    ],
)  # fmt: skip
def test_codes_that_are_refused(given, message):
    with pytest.raises(DataError) as error:
        encode_codes(DESCRIPTION, given)
    assert str(error.value) == message


def test_a_symmetric_format_has_no_lowest_code():
    cast = (FixedPointCast.parse("ap_fixed<6,6,AP_RND,AP_SAT_SYM>"),)
    tensor = replace(DESCRIPTION.inputs[0], cast=cast)
    codes = np.zeros((1, 3, 2, 2), int)
    codes[0, 2, 1, 1] = -32
    with pytest.raises(DataError, match=r"must lie in \[-31, 31\].*not -32 at \(0, 2, 1, 1\)"):
        encode_codes(replace(DESCRIPTION, inputs=(tensor,)), codes)
