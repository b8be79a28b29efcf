"""The other layers: what they compute, their state, and what they refuse."""

from __future__ import annotations

import brevitas.nn as qnn
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from brevitas_quantizers import QFXFixedPoint, QFXKHot, export_qonnx, learned_formats
from brevitas_quantizers.fixed_point import ExportError, OptionError
from brevitas_quantizers.nn import (
    QuantAdd,
    QuantAvgPool2d,
    QuantCat,
    QuantGlobalAvgPool2d,
    QuantHardtanh,
    QuantLeakyReLU,
    QuantMaxPool2d,
    QuantMul,
    QuantPReLU,
    QuantRPReLU,
)
from tests.nn.networks import LAYERS, batch


@pytest.mark.parametrize("name", LAYERS)
def test_every_parameter_gets_a_gradient(name, torch_seed):
    model = LAYERS[name](4).train()
    model(batch(model))
    y = model(batch(model))
    (y * torch.randn_like(y)).sum().backward()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad and not key.startswith("out."):
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key


@pytest.mark.parametrize("name", LAYERS)
def test_state_goes_round_trip(name, torch_seed):
    model = LAYERS[name](6).train()
    model(batch(model))
    twin = LAYERS[name](6)
    twin.load_state_dict(model.state_dict())
    x = batch(model)
    assert torch.equal(twin.eval()(x), model.eval()(x))
    assert learned_formats(twin) == learned_formats(model)


def test_joins_take_quant_tensors_of_different_binary_points(torch_seed):
    act = {"act_quant": QFXFixedPoint, "return_quant_tensor": True}
    left, right = qnn.QuantIdentity(frac_bits=2, **act), qnn.QuantIdentity(frac_bits=5, **act)
    a, b = left(torch.randn(3, 4)), right(torch.randn(3, 4))
    for layer, expected in (
        (QuantAdd(), a.value + b.value),
        (QuantMul(), a.value * b.value),
    ):
        assert torch.equal(layer(a, b), expected)
        assert torch.equal(layer.eval()(a, b), expected)
    assert torch.equal(QuantCat(dim=0)([a, b]), torch.cat([a.value, b.value]))
    total = QuantAdd(QFXFixedPoint, output_bit_width=4, return_quant_tensor=True)(a, b)
    assert total.bit_width.item() == 4 and total.is_valid


@pytest.mark.parametrize("size", [1, 2, 3, (2, 3), 4])
def test_average_pools_are_the_sum_times_the_reciprocal(size, torch_seed):
    x = torch.randint(-99, 99, (2, 3, 9, 9)) / 8
    layer = QuantAvgPool2d(size, 2, weight_bit_width=12)
    kernel = layer.kernel_size
    total = F.avg_pool2d(x, kernel, 2, divisor_override=1)
    reciprocal = layer.quantized("weight").item()
    assert torch.equal(layer(x), total * reciprocal)
    torch.testing.assert_close(layer(x), F.avg_pool2d(x, kernel, 2), rtol=1e-3, atol=1e-3)
    assert layer.is_shift is (layer.area in (1, 4, 16))


def test_the_global_average_follows_the_size_of_its_input(torch_seed):
    layer = QuantGlobalAvgPool2d(weight_bit_width=10)
    for size in (7, 8, 3):
        x = torch.randint(-99, 99, (2, 3, size, size)) / 8
        expected = x.mean((2, 3), keepdim=True)
        torch.testing.assert_close(layer(x), expected, rtol=2e-3, atol=1e-6)
        fmt = learned_formats(layer)["weight"]
        assert fmt.max >= 1 / size**2 > fmt.max / 4


def test_prelu_takes_slopes_and_checkpoints_of_the_float_layer(torch_seed):
    plain = nn.PReLU(4)
    nn.init.uniform_(plain.weight, 0.5, 3)
    layer = QuantPReLU.from_float(plain, weight_bit_width=12)
    assert learned_formats(layer)["weight"].integer_bits >= 2
    x = torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-2, atol=1e-2)
    other = QuantPReLU(4)
    other.load_state_dict(plain.state_dict())
    torch.testing.assert_close(other(x), plain(x), rtol=1e-1, atol=1e-1)


def test_rprelu_shifts_bends_and_shifts(torch_seed):
    layer = QuantRPReLU(3, weight_bit_width=5, bias_bit_width=6)
    with torch.no_grad():
        layer.shift_in.bias.uniform_(-1, 1)
        layer.shift_out.bias.uniform_(-1, 1)
    x = torch.randn(2, 3, 4, 4)
    before, slope, after = (
        part.quantized(slot)
        for part, slot in (
            (layer.shift_in, "bias"), (layer.prelu, "weight"), (layer.shift_out, "bias"),
        )
    )  # fmt: skip
    assert torch.equal(layer(x), F.prelu(x + before, slope) + after)
    widths = {name: fmt.width for name, fmt in learned_formats(layer).items()}
    assert widths == {"shift_in.bias": 6, "prelu.weight": 5, "shift_out.bias": 6}
    with pytest.raises(OptionError) as caught:
        QuantRPReLU(3, slope_bit_width=4)
    assert "option 'slope_bit_width' must begin with one of output_" in str(caught.value)


def test_fixed_slopes_and_bounds(torch_seed):
    x = torch.linspace(-3, 3, 25)
    slope = QuantLeakyReLU(0.1, quant=QFXKHot, weight_k=1).quantized("weight").item()
    assert slope == 0.125
    assert not any(p.requires_grad for p in QuantLeakyReLU(0.1).parameters())
    assert torch.equal(QuantHardtanh(-0.5, 2)(x), x.clamp(-0.5, 2))
    pooled = QuantMaxPool2d(2, quant=QFXFixedPoint, output_bit_width=3)(torch.rand(1, 2, 4, 4))
    assert pooled.unique().numel() <= 8
    with pytest.raises(OptionError) as caught:
        QuantHardtanh(-0.1, 1)
    assert str(caught.value) == "QuantHardtanh: min_val must be a multiple of 2**-16, not -0.1"


def test_float_constants_are_refused_by_the_export(torch_seed):
    x = torch.randn(2, 2, 6, 6)
    for layer, name in ((QuantAvgPool2d(3, quant=None), "1.weight"), (QuantPReLU(quant=None), "1")):
        model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), layer)
        model(x)
        with pytest.raises(ExportError) as caught:
            export_qonnx(model, x)
        assert str(caught.value).startswith(name)
        assert "needs a QFX quantizer" in str(caught.value)
    shift = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), QuantAvgPool2d(2, quant=None))
    shift(x)
    assert export_qonnx(shift, x).graph.node[-1].op_type == "AveragePool"


def test_equal_parameters_keep_their_names_in_the_file(torch_seed):
    model = nn.Sequential(qnn.QuantIdentity(act_quant=QFXFixedPoint), QuantRPReLU(2))
    x = torch.randn(2, 2, 6, 6)
    model(x)
    exported = export_qonnx(model, x)
    names = {tensor.name for tensor in exported.graph.initializer}
    assert {"1.shift_in.bias", "1.shift_out.bias", "1.prelu.weight"} <= names
    assert "Identity" not in {node.op_type for node in exported.graph.node}
