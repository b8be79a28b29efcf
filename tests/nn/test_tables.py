"""Sigmoid and tanh by table: entries, torch against NumPy, gradients, refusals."""

from __future__ import annotations

import copy
import math
from fractions import Fraction

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import Int8ActPerTensorFloat
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, learned_formats
from brevitas_quantizers.fixed_point import (
    CalibrationError,
    DataError,
    ExportError,
    FixedPointCast,
    FixedPointFormat,
    OptionError,
)
from brevitas_quantizers.nn import QuantSigmoid, QuantTanh
from brevitas_quantizers.nn.tables import build_table, exact_exp, exact_sigmoid, exact_tanh

FUNCTIONS = {
    QuantSigmoid: lambda x: 1 / (1 + np.exp(-x)),
    QuantTanh: np.tanh,
}
FIXED = {"input_bit_width": 6, "input_frac_bits": 3, "output_bit_width": 7, "output_frac_bits": 6}


def every_code(layer: nn.Module) -> np.ndarray:
    fmt = layer.input_format
    return np.arange(fmt.min_code, fmt.max_code + 1)


def result_codes(layer: nn.Module, codes: np.ndarray) -> np.ndarray:
    """What `forward` computes for input codes, as codes."""
    x = torch.from_numpy(layer.input_format.from_codes(codes)).float()
    y = layer(x).detach().double().numpy()
    return (y * 2.0**layer.output_cast.format.frac_bits).astype(np.int64)


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("bits", [2, 5, 12])
@pytest.mark.parametrize("rounding", ["AP_RND_CONV", "AP_TRN", "AP_TRN_ZERO"])
def test_forward_is_the_table_on_every_code(kind, bits, rounding):
    layer = kind(
        input_bit_width=bits,
        input_frac_bits=bits - 4,
        output_bit_width=9,
        output_frac_bits=8,
        output_rounding=rounding,
    ).eval()
    codes = every_code(layer)
    table = layer.table()
    assert table.entries.shape == codes.shape and table.entries.dtype == np.int64
    assert np.array_equal(result_codes(layer, codes), table.entries)
    assert np.array_equal(result_codes(layer.double(), codes), layer.numpy_codes(codes))
    smooth = FUNCTIONS[kind](layer.input_format.from_codes(codes))
    expected = table.output.format.to_codes(smooth, rounding, "AP_SAT")
    # float64 is only a witness: it may err where the function is within its precision of a tie
    near = np.abs(smooth * 512 - np.round(smooth * 512)) < 1e-9
    assert np.array_equal(table.entries[~near], expected[~near])


def test_entries_are_right_where_float64_is_not():
    narrow, wide = FixedPointFormat(6, 6), FixedPointFormat(30, 2)
    down = FixedPointCast(FixedPointFormat(8, 2), "AP_TRN", "AP_SAT")
    up = FixedPointCast(FixedPointFormat(8, 2), "AP_RND_INF", "AP_SAT")
    steep = FixedPointFormat(4, 40)
    assert build_table(exact_tanh, narrow, down).look_up([-31, -30, 0, 30, 31]).tolist() == [
        -64, -64, 0, 63, 63,
    ]  # fmt: skip
    assert build_table(exact_tanh, steep, down).look_up([-8, -1, 0, 1]).tolist() == [
        -64, -64, 0, 63,
    ]  # fmt: skip
    assert build_table(exact_sigmoid, steep, up).look_up([-8, -1, 0, 1]).tolist() == [0, 0, 32, 64]
    fine = build_table(exact_sigmoid, FixedPointFormat(2, -58), FixedPointCast(wide, "AP_TRN"))
    assert fine.entries.tolist() == [2**27 - 1, 2**27 - 1, 2**27, 2**27]


@pytest.mark.parametrize("x", [0, -1, Fraction(-7, 8), -40])
def test_the_exact_functions_agree_with_the_library(x):
    value = float(x)
    assert math.isclose(exact_exp(Fraction(x), 60), math.exp(value), rel_tol=1e-15)
    assert math.isclose(exact_sigmoid(Fraction(x), 60), 1 / (1 + math.exp(-value)), rel_tol=1e-15)
    for sign in (1, -1):
        expected = math.tanh(sign * value)
        assert math.isclose(exact_tanh(sign * Fraction(x), 60), expected, rel_tol=1e-15)


@pytest.mark.parametrize("kind", [QuantSigmoid, QuantTanh])
def test_the_gradient_is_that_of_the_smooth_function(kind, torch_seed):
    layer = kind(**FIXED).double()
    x = (torch.randn(3, 5).double()).requires_grad_()
    weights = torch.randn(3, 5).double()
    (layer(x) * weights).sum().backward()
    cast = layer.receive(x).detach().requires_grad_()
    smooth = layer.smooth(cast)
    top = 2**6 if kind is QuantTanh else 2**7
    inside = smooth.detach() < (top - 0.5) / 2**6
    (smooth * weights * inside).sum().backward()
    torch.testing.assert_close(x.grad, cast.grad)


@pytest.mark.parametrize("kind", [QuantSigmoid, QuantTanh])
def test_binary_points_train_and_state_goes_round_trip(kind, torch_seed):
    layer = kind(input_bit_width=5, output_bit_width=5).train()
    x = torch.randn(6, 9)
    with pytest.raises(CalibrationError):
        layer.eval()(x)
    y = layer.train()(x)
    (y * torch.randn_like(y)).sum().backward()
    assert all(p.grad is not None and p.grad.abs() > 0 for p in layer.parameters())
    assert y.unique().numel() <= 32
    twin = kind(input_bit_width=5, output_bit_width=5)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.eval()(x), layer.eval()(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    with torch.no_grad():
        layer._quantizer(layer.slots[1]).binary_point.sub_(1)
    codes = layer.receive(x).detach().numpy() * 2**layer.input_format.frac_bits
    assert np.array_equal(
        layer(x).detach().numpy() * 2**layer.output_cast.format.frac_bits, layer.numpy_codes(codes)
    )


@pytest.mark.parametrize("kind", [QuantSigmoid, QuantTanh])
def test_calibration_sees_the_smooth_function(kind, torch_seed):
    layer = kind()
    x = torch.randn(64, 10)
    calibrate(layer, [x, x + 1])
    signs = {name: fmt.signed for name, fmt in learned_formats(layer).items()}
    assert signs == {"input": True, "output": kind is QuantTanh}
    torch.testing.assert_close(layer.eval()(x), layer.smooth(x), rtol=0, atol=2e-2)
    calibrate(layer, [x * 8])
    assert learned_formats(layer)["input"].max > 8


def test_quant_tensors_in_and_out(torch_seed):
    entry = qnn.QuantIdentity(act_quant=QFXFixedPoint, return_quant_tensor=True)
    layer = QuantTanh(return_quant_tensor=True, **FIXED)
    x = entry(torch.randn(4, 4))
    y = layer(x)
    assert y.is_valid and y.bit_width.item() == 7
    assert torch.equal(y.value, QuantTanh(**FIXED)(x.value))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (
            lambda: QuantSigmoid(quant=None),
            "QuantSigmoid: input_quant must be a QFX quantizer, not None",
        ),
        (
            lambda: QuantTanh(input_quant=Int8ActPerTensorFloat),
            "QuantTanh: input_quant must be a QFX quantizer, not ActQuantProxyFromInjector",
        ),
        (
            lambda: QuantSigmoid(output_signed=True),
            "QuantSigmoid: output_signed must be False, not True",
        ),
        (
            lambda: QuantTanh(output_signed=False),
            "QuantTanh: output_signed must be True, not False",
        ),
        (
            lambda: QuantTanh(input_bit_width=13),
            "QuantTanh: input_bit_width must be at most 12, not 13",
        ),
        (
            lambda: QuantTanh(input_learn_bit_width=True),
            "QuantTanh: input_bit_width must be at most 12, not 16",
        ),
        (
            lambda: QuantSigmoid(
                input_scaling_per_output_channel=True,
                input_per_channel_broadcastable_shape=(1, 2),
            ),
            "QuantSigmoid: input_scaling_per_output_channel must be False, not True",
        ),
    ],
)
def test_impossible_options_are_refused(build, text):
    with pytest.raises(OptionError) as caught:
        build()
    assert str(caught.value) == text


def test_impossible_data_is_refused():
    with pytest.raises(DataError) as caught:
        QuantSigmoid(**FIXED)(torch.tensor([0.0, float("nan")]))
    assert "QuantSigmoid: values must be finite, but 1 of 2 are not" in str(caught.value)


def test_a_layer_of_a_user_can_refuse_the_export_too():
    class Lookup(nn.Identity):
        no_qonnx_form = "it looks things up"

    model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), Lookup())
    x = torch.randn(2, 3)
    model(x)
    with pytest.raises(ExportError) as caught:
        export_qonnx(model, x)
    assert str(caught.value) == "1: Lookup has no exact form in QONNX; it looks things up"
