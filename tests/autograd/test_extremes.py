"""Subnormal inputs, inputs one ULP from ties, and words of up to 32 bits: equal to the integers."""

from __future__ import annotations

import itertools

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, learned_formats
from brevitas_quantizers.autograd import fixed_point_cast
from brevitas_quantizers.fixed_point import FixedPointFormat, OverflowMode, RoundingMode
from qfx_plugin import load_qonnx, verify_agreement

MODES = list(itertools.product(RoundingMode, OverflowMode))
TINY = [1e-45, 1e-44, 1.1754944e-38, 1e-40, 3e-39, 1e-30]
DTYPES = [(torch.float32, np.float32), (torch.float64, np.float64)]


def around_ties(number: type, frac_bits: int, width: int = 4) -> np.ndarray:
    """Ties and bounds of a format, one ULP to either side, and the smallest numbers there are."""
    steps = np.arange(-(2**width) * 2 - 1, 2**width * 2 + 2) / 2
    values = (steps * 2.0**-frac_bits).astype(number)
    smallest = np.array([*TINY, np.finfo(number).smallest_subnormal], number)
    below, above = np.nextafter(values, number(-np.inf)), np.nextafter(values, number(np.inf))
    return np.concatenate([values, below, above, smallest, -smallest])


@pytest.mark.parametrize("frac_bits", [-100, -3, -1, 0, 5, 60])
@pytest.mark.parametrize(("dtype", "number"), DTYPES, ids=["float32", "float64"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_every_mode_beside_ties_and_at_subnormals(frac_bits, dtype, number, per_channel):
    x = around_ties(number, frac_bits)
    inputs = torch.from_numpy(x)
    assert inputs.dtype == dtype
    point = torch.full((1,) if per_channel else (), float(frac_bits), dtype=dtype)
    for signed in (True, False):
        fmt = FixedPointFormat.from_frac_bits(4, frac_bits, signed)
        for rounding, overflow in MODES:
            y = fixed_point_cast(inputs, point, 4, signed, rounding, overflow)
            codes = fmt.to_codes(x.astype(np.float64), rounding, overflow)
            assert np.array_equal(y.double().numpy(), fmt.from_codes(codes)), (rounding, overflow)


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_subnormal_below_zero_is_code_minus_one_and_out_of_an_unsigned_range(per_channel):
    x = torch.tensor([-1e-45, 1e-45, 0.0], requires_grad=True)
    point = torch.full((1,) if per_channel else (), -3.0)
    y = fixed_point_cast(x, point, 8, True, "AP_TRN", "AP_SAT")
    assert y.tolist() == [-8.0, 0.0, 0.0]
    y = fixed_point_cast(x, point, 8, False, "AP_TRN", "AP_SAT")
    y.sum().backward()
    assert y.tolist() == [0.0, 0.0, 0.0] and x.grad.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("width", [24, 25, 26, 31, 32])
@pytest.mark.parametrize("signed", [True, False])
def test_words_of_up_to_32_bits_are_those_of_the_integers(width, signed, rng):
    """In float32 only bounds, and what wraps, can need more bits than the result has."""
    x = rng.normal(size=3000).astype(np.float32)
    fmt = FixedPointFormat(width, 2, signed)
    for rounding, overflow in MODES:
        exact = fmt.quantize(x.astype(np.float64), rounding, overflow)
        layer = qnn.QuantIdentity(
            act_quant=QFXFixedPoint, bit_width=width, integer_bits=2, signed=signed,
            rounding=rounding, overflow=overflow,
        )  # fmt: skip
        y = layer(torch.from_numpy(x))
        assert y.dtype == torch.float32 and np.array_equal(y.numpy(), exact.astype(np.float32))
        assert np.array_equal(layer.double()(torch.from_numpy(x).double()).numpy(), exact)
    exact = fmt.quantize(x.astype(np.float64))
    inside = np.abs(exact) < fmt.max
    assert np.array_equal(exact[inside].astype(np.float32), exact[inside])


@pytest.mark.parametrize("width", [26, 32])
def test_wide_words_train_export_and_agree(width, torch_seed, tmp_path):
    model = nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=8),
        qnn.QuantLinear(
            8, 6, True, weight_quant=QFXFixedPoint, weight_bit_width=width,
            bias_quant=QFXFixedPoint, bias_bit_width=width,
        ),
        qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=width),
    )  # fmt: skip
    x = torch.randn(64, 8)
    calibrate(model, [x])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        model.train()(x).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert {fmt.width for fmt in learned_formats(model).values()} == {8, width}
    path = tmp_path / "wide.onnx"
    export_qonnx(model.eval(), x[:1], path)
    assert load_qonnx(path).ops
    result = verify_agreement(path, x, torch_model=model, executors=["torch"])
    assert [(one.name, one.differing) for one in result.executors] == [("torch", 0)]
    assert result.executors[0].codes > 0


def test_a_learned_width_may_reach_32_bits(torch_seed):
    layer = qnn.QuantIdentity(
        act_quant=QFXFixedPoint, bit_width=30, learn_bit_width=True, max_bit_width=32,
        frac_bits=20, learn_binary_point=False,
    )  # fmt: skip
    x = torch.randn(500)
    y = layer(x)
    y.sum().backward()
    fmt = learned_formats(layer)["act"]
    assert fmt.width == 30 and y.dtype == torch.float32
    assert np.array_equal(y.detach().double().numpy(), fmt.quantize(x.double().numpy()))
